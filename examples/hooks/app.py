"""Notes per tenant, in data/<slot>/<tenant>.db: python3 app.py PORT FOLDER, behind stead sidecar --hooks."""
import io, os, re, shutil, sqlite3, sys, tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        hook = re.fullmatch(r"/\.stead/slots/(\d+)", self.path)
        note = re.fullmatch(r"/notes/(\w+)", self.path)
        if self.path == "/healthz":
            return self.answer(200, b"well\n")
        if hook:
            return self.move(os.path.join(sys.argv[2], hook[1]), body)
        if not note:
            return self.answer(404, b"notes live at /notes/{tenant}\n")
        folder = os.path.join(sys.argv[2], self.headers["Stead-Slot"])
        os.makedirs(folder, exist_ok=True)
        with sqlite3.connect(os.path.join(folder, note[1] + ".db")) as db:  # commits at the end
            db.execute("CREATE TABLE IF NOT EXISTS note (text)")
            if self.command == "POST":
                db.execute("INSERT INTO note VALUES (?)", [body.decode()])
            notes = [text for text, in db.execute("SELECT text FROM note ORDER BY rowid")]
        self.answer(200, "".join(text + "\n" for text in notes).encode())
    def move(self, folder, body):  # nobody writes to the slot meanwhile
        if self.command == "GET":
            archive = io.BytesIO()
            with tarfile.open(fileobj=archive, mode="w") as tar:
                for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
                    tar.add(os.path.join(folder, name), arcname=name)
            return self.answer(200 if os.path.isdir(folder) else 404, archive.getvalue())
        shutil.rmtree(folder, ignore_errors=True)
        if self.command == "PUT":
            with tarfile.open(fileobj=io.BytesIO(body)) as tar:
                tar.extractall(folder, filter="data")
            os.sync()  # the node that gave the slot deletes it once this is answered
        self.answer(200, b"")
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = do_PUT = do_DELETE = handle_one

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), App).serve_forever()
