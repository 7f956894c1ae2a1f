import json, sys, time, urllib.request

members, node, address, session = sys.argv[1].split(","), sys.argv[2], sys.argv[3], None

def post(path, body):
    request = urllib.request.Request(members[0] + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=1))

while True:
    try:
        session = session or post("/v1/nodes", {"id": node, "address": address})["session"]
        post(f"/v1/nodes/{node}/beat", {"session": session})
    except OSError as error:
        print(error, getattr(error, "read", str)(), file=sys.stderr)
        if getattr(error, "code", 0) in (404, 409): session = None  # unknown or superseded: register again
        else: members.append(members.pop(0))  # no answer to be had here: ask the next member
    time.sleep(0.25)
