package inbound

import (
	"net"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Of a TCP header (RFC 9293, section 3.1).
const (
	flagsAt = 13
	flagSYN = 0x02
	flagACK = 0x10
)

// nobodyNew is a socket filter that drops the segment a handshake begins with, and lets all others pass.
var nobodyNew = []bpf.Instruction{
	bpf.LoadAbsolute{Off: flagsAt, Size: 1},
	bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: flagSYN | flagACK},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: flagSYN, SkipTrue: 1},
	bpf.RetConstant{Val: 1<<32 - 1},
	bpf.RetConstant{Val: 0},
}

// refuseHandshakes has the kernel begin no connection to the listener any more. Those begun go on.
func refuseHandshakes(at *net.TCPListener) error {
	instructions, err := bpf.Assemble(nobodyNew)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(instructions))
	for i, instruction := range instructions {
		filter[i] = unix.SockFilter{Code: instruction.Op, Jt: instruction.Jt, Jf: instruction.Jf, K: instruction.K}
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return control(at, func(socket int) error {
		return unix.SetsockoptSockFprog(socket, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	})
}

// queued is how many connections wait to be accepted.
func queued(at *net.TCPListener) (waiting int, err error) {
	err = control(at, func(socket int) error {
		info, err := unix.GetsockoptTCPInfo(socket, unix.SOL_TCP, unix.TCP_INFO)
		if err != nil {
			return err
		}
		waiting = int(info.Unacked) // of a listener, it is the length of its queue
		return nil
	})
	return waiting, err
}

func control(at *net.TCPListener, do func(socket int) error) error {
	raw, err := at.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}
