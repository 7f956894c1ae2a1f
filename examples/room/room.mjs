// Chat rooms over WebSocket, kept in memory per slot: node room.mjs PORT, behind stead sidecar --hooks.
// In a browser: new WebSocket('ws://proxy:8080/?room=lobby'). Whoever enters hears what was said before.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'

const kept = 100 // messages of a room that newcomers hear
const slots = new Map() // slot -> room -> messages
const inside = new Map() // room -> sockets

const server = createServer((request, response) => {
  const [, slot] = request.url.match(/^\/\.stead\/slots\/(\d+)$/) ?? []
  if (request.url === '/healthz') return response.end('well\n')
  if (!slot) return response.writeHead(426, { Connection: 'Upgrade', Upgrade: 'websocket' }).end('rooms are at /?room=name\n')
  const body = []
  request.on('data', (piece) => body.push(piece)).on('end', () => {
    const rooms = slots.get(slot)
    if (request.method === 'GET') return response.writeHead(rooms ? 200 : 404).end(JSON.stringify([...(rooms ?? [])]))
    slots.delete(slot)
    if (request.method === 'PUT') slots.set(slot, new Map(JSON.parse(Buffer.concat(body))))
    response.end()
  })
})

// The sidecar ends connections of a slot before it moves, and waits a moment for the service to end them too.
server.on('upgrade', (request, socket, early) => {
  const room = new URL(request.url, 'http://room').searchParams.get('room')
  const slot = request.headers['stead-slot']
  const key = request.headers['sec-websocket-key']
  if (!room || !slot || !key) return socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')
  const accept = createHash('sha1').update(key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)

  const rooms = getOr(slots, slot, () => new Map())
  const messages = getOr(rooms, room, () => [])
  const sockets = getOr(inside, room, () => new Set())
  for (const message of messages) socket.write(frame(1, Buffer.from(message)))
  sockets.add(socket)
  let data = Buffer.alloc(0)
  const take = (piece) => {
    data = Buffer.concat([data, piece])
    for (let got; (got = parse(data)) && !socket.writableEnded; data = data.subarray(got.length)) {
      if (got.opcode === 9) socket.write(frame(10, got.payload)) // ping, pong
      else if (got.opcode === 10) continue
      else if (got.opcode !== 1) socket.end(frame(8, got.payload.subarray(0, 2))) // close
      else {
        messages.push(got.payload.toString())
        if (messages.length > kept) messages.shift()
        for (const other of sockets) other.write(frame(1, got.payload))
      }
    }
  }
  socket.on('data', take).on('end', () => socket.end()).on('error', () => {}).on('close', () => sockets.delete(socket))
  take(early)
})

function getOr(map, key, make) {
  if (!map.has(key)) map.set(key, make())
  return map.get(key)
}

// frame is whole and unmasked, as servers send them (RFC 6455, section 5.2), and shorter than 64 KiB.
function frame(opcode, payload) {
  const n = payload.length
  return Buffer.concat([Buffer.from(n < 126 ? [0x80 | opcode, n] : [0x80 | opcode, 126, n >> 8, n & 255]), payload])
}

// parse takes a client's first frame, undefined while it is not whole. In parts or of 64 KiB and more: 1009, too big.
function parse(data) {
  if (data.length < 2) return
  const short = data[1] & 127
  const head = short < 126 ? 6 : 8
  if (short === 127 || !(data[0] & 0x80)) return { opcode: 8, payload: Buffer.from([0x03, 0xf1]), length: data.length }
  if (data.length < head) return
  const length = head + (short < 126 ? short : data.readUInt16BE(2))
  if (data.length < length) return
  const mask = data.subarray(head - 4, head)
  return { opcode: data[0] & 15, payload: data.subarray(head, length).map((octet, i) => octet ^ mask[i & 3]), length }
}

server.listen(Number(process.argv[2]), '127.0.0.1')
