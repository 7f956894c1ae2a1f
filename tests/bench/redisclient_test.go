//go:build bench && linux

package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// redisClient asks the servers one request at a time; what they say of slots that moved it remembers.
type redisClient struct {
	first  string
	owners map[uint16]string
	conns  map[string]*redisConn
}

type redisConn struct {
	net.Conn
	in *bufio.Reader
}

// clients is a pool of clients, each for one request at a time.
func (r *redisCluster) clients() chan *redisClient {
	pool := make(chan *redisClient, loaders)
	for range loaders {
		client := &redisClient{first: r.addresses[0], owners: make(map[uint16]string), conns: make(map[string]*redisConn)}
		r.t.Cleanup(client.close)
		pool <- client
	}
	return pool
}

func (c *redisClient) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

var errMoved = errors.New("MOVED")

// redirectsMax is how often one request is sent on.
const redirectsMax = 3

// do sends a request about a key to whoever has it.
func (c *redisClient) do(key string, args ...string) (answer []byte, err error) {
	slot := redisSlot(key)
	for range redirectsMax {
		address := c.owners[slot]
		if address == "" {
			address = c.first
		}
		answer, err = c.ask(address, args)
		if !errors.Is(err, errMoved) {
			return answer, err
		}
		c.owners[slot] = string(answer)
	}
	return nil, err
}

func (c *redisClient) ask(address string, args []string) ([]byte, error) {
	conn := c.conns[address]
	if conn == nil {
		dialed, err := net.Dial("tcp", address)
		if err != nil {
			return nil, err
		}
		conn = &redisConn{dialed, bufio.NewReaderSize(dialed, 2*valueSize)}
		c.conns[address] = conn
	}
	request := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, arg := range args {
		request = fmt.Appendf(request, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	return conn.answer()
}

// answer reads a status, an error or a string; with errMoved it is the address of the owner.
func (c *redisConn) answer() ([]byte, error) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(line[1:])
	switch line[0] {
	case '+':
		return []byte(text), nil
	case '$':
		length, err := strconv.Atoi(text)
		if err != nil || length < 0 {
			return nil, errors.Join(errors.New("there is no such value"), err)
		}
		value := make([]byte, length+len("\r\n"))
		_, err = io.ReadFull(c.in, value)
		return value[:length], err
	}
	if fields := strings.Fields(text); fields[0] == errMoved.Error() {
		return []byte(fields[2]), errMoved
	}
	return nil, errors.New(text)
}

// redisSlot is CRC-16 (XMODEM) of the key, as Redis Cluster has it.
func redisSlot(key string) uint16 {
	sum := uint16(0)
	for i := range len(key) {
		sum ^= uint16(key[i]) << 8
		for range 8 {
			if carry := sum&0x8000 != 0; carry {
				sum = sum<<1 ^ 0x1021
			} else {
				sum <<= 1
			}
		}
	}
	return sum % redisSlots
}
