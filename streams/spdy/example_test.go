package spdy_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"
	peer "k8s.io/streaming/pkg/httpstream/spdy"

	"edge/streams"
	"edge/streams/spdy"
)

// Example runs an exec without sockets: each side reads the bytes that the other side writes.
func Example() {
	set := streams.Set{Stdin: true, Stdout: true}
	list := func(source streams.Source) {
		for {
			f, err := source.Next()
			if err != nil {
				fmt.Println(" ", err)
				return
			}
			fmt.Println(" ", show(f))
		}
	}

	var toServer, toClient wrote // each is a streams.Writer: the bytes sent to one side
	client := spdy.NewExecUpstreamSink(&toServer, set)
	client.Open()
	client.Write(roomy(streams.Data, streams.Stream{Role: streams.Stdin}, "hello"))
	client.Write(roomy(streams.HalfClose, streams.Stream{Role: streams.Stdin}, ""))
	client.Flush()

	answers := new(replies) // a streams.Replier: stores the SYN_REPLYs from the source fromClient
	fromClient := spdy.NewExecDownstreamSource(streams.NewReader(bytes.NewReader(toServer.bytes), nil), answers, set)
	fmt.Println("the server reads")
	list(fromClient)
	fmt.Println("  whole:", fromClient.Whole(), "answers:", len(answers.said))

	server := spdy.NewExecDownstreamSink(&toClient, fromClient)
	server.Write(roomy(streams.Data, streams.Stream{Role: streams.Stdout}, "HELLO"))
	server.Write(roomy(streams.HalfClose, streams.Stream{Role: streams.Stdout}, ""))
	server.Write(roomy(streams.Status, streams.Stream{Role: streams.Error}, `{"status":"Success"}`))
	server.Write(roomy(streams.Close, streams.Stream{}, ""))
	server.Flush()

	fmt.Println("the client reads")
	list(spdy.NewExecUpstreamSource(streams.NewReader(bytes.NewReader(toClient.bytes), nil), new(replies), set))
	// Output:
	// the server reads
	//   open error
	//   open stdin
	//   open stdout
	//   data stdin "hello"
	//   half-close stdin
	//   EOF
	//   whole: true answers: 3
	// the client reads
	//   data stdout "HELLO"
	//   half-close stdout
	//   status error "{\"status\":\"Success\"}"
	//   close session 5
	//   EOF
}

// ExampleExecDownstreamSource reads an exec of a client that uses the SPDY implementation of
// Kubernetes.
func ExampleExecDownstreamSource() {
	near, far := net.Pipe()
	go func() {
		client, err := peer.NewClientConnection(far)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer client.Close()
		var stdin httpstream.Stream
		for _, kind := range []string{corev1.StreamTypeError, corev1.StreamTypeStdin} {
			// CreateStream waits until the source has accepted the stream.
			if stdin, err = client.CreateStream(http.Header{corev1.StreamType: {kind}}); err != nil {
				fmt.Println(err)
				return
			}
		}
		io.WriteString(stdin, "ls\n")
		stdin.Close()
	}()

	r := streams.NewReader(near, nil)
	defer r.Close()
	source := spdy.NewExecDownstreamSource(r, &leg{conn: near, in: near}, streams.Set{Stdin: true})
	for {
		f, err := source.Next()
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(show(f))
		if f.Kind == streams.Close {
			break
		}
	}
	near.Close()
	// Output:
	// open error
	// open stdin
	// data stdin "ls\n"
	// half-close stdin
	// reset error code 5
	// close session
}

// ExampleRelaySource relays a port-forward stream by stream, as edge does if both sides use SPDY.
// The header blocks pass as they are, and the streams keep their IDs.
func ExampleRelaySource() {
	client, near := net.Pipe()
	far, server := net.Pipe()
	down, up := &leg{conn: near, in: near}, &leg{conn: far, in: far}
	toClient, toServer := spdy.NewRelaySink(down), spdy.NewRelaySink(up)
	var table spdy.Table // both sources share it
	var running sync.WaitGroup
	running.Go(func() {
		r := streams.NewReader(near, toServer.Flush)
		defer r.Close()
		copyFrames(toServer, spdy.NewRelaySource(r, down, spdy.Client, &table))
		far.Close()
	})
	running.Go(func() {
		r := streams.NewReader(far, toClient.Flush)
		defer r.Close()
		copyFrames(toClient, spdy.NewRelaySource(r, up, spdy.Server, &table))
		near.Close()
	})

	if _, err := peer.NewServerConnection(server, answerAll); err != nil {
		fmt.Println(err)
		return
	}
	conn, err := peer.NewClientConnection(client)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ask(conn, "80", "hello"))
	fmt.Println(ask(conn, "443", "hello too"))
	conn.Close()
	running.Wait()
	// Output:
	// port 80 received "hello", <nil>
	// port 443 received "hello too", <nil>
}

// ExampleOpenPorts forwards two ports for a client that cannot open streams, such as one that uses
// WebSocket channels.
func ExampleOpenPorts() {
	near, server := net.Pipe()
	if _, err := peer.NewServerConnection(server, answerAll); err != nil {
		fmt.Println(err)
		return
	}
	up := &leg{conn: near, in: near}
	var table spdy.Table
	r := streams.NewReader(near, nil)
	defer r.Close()
	source, sink := spdy.NewPortsSource(r, up, &table), spdy.NewPortsSink(up, &table)
	if err := spdy.OpenPorts(up, &table, []uint16{80, 443}); err != nil {
		fmt.Println(err)
		return
	}
	for n, text := range []string{"hello", "hello too"} {
		data, _ := streams.PortStreams(n)
		sink.Write(roomy(streams.Data, data, text))
		sink.Write(roomy(streams.HalfClose, data, ""))
	}
	sink.Flush()

	var answers [2]string
	for table.Len() > 0 { // until every connection has ended
		f, err := source.Next()
		if err != nil {
			fmt.Println(err)
			break
		}
		if n, isErr, ok := streams.PortOf(f.Stream.ID); ok && !isErr && f.Kind == streams.Data {
			answers[n] += string(f.Payload())
		}
	}
	near.Close()
	fmt.Println(answers[0])
	fmt.Println(answers[1])
	// Output:
	// port 80 received "hello", <nil>
	// port 443 received "hello too", <nil>
}

// ExamplePortServerSource serves a port-forward without a pod. It answers a connection when the
// client has half-closed it.
func ExamplePortServerSource() {
	near, client := net.Pipe()
	answer := make(chan string, 1)
	go func() {
		conn, err := peer.NewClientConnection(client)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer conn.Close()
		answer <- ask(conn, "80", "hello")
	}()

	down := &leg{conn: near, in: near}
	var table spdy.Table
	r := streams.NewReader(near, nil)
	defer r.Close()
	source, sink := spdy.NewPortServerSource(r, down, &table), spdy.NewPortServerSink(down, &table)
	ports := map[uint32]spdy.PortOpening{}
	for {
		f, err := source.Next()
		if err != nil {
			fmt.Println(err)
			break
		}
		if f.Kind == streams.Close {
			break
		}
		of := ports[f.Stream.ID]
		switch f.Kind {
		case streams.Open:
			ports[f.Stream.ID] = source.Opened()
			fmt.Printf("open %+v\n", source.Opened())
		case streams.Data:
			fmt.Printf("port %d: %q\n", of.Port, f.Payload())
		case streams.HalfClose:
			if !of.Error {
				sink.Write(roomy(streams.Data, f.Stream, "bye"))
			}
			sink.Write(roomy(streams.HalfClose, f.Stream, ""))
			sink.Flush()
		}
	}
	near.Close()
	fmt.Println("answer:", <-answer)
	// Output:
	// open {Error:true Port:80 Request:80}
	// open {Error:false Port:80 Request:80}
	// port 80: "hello"
	// answer: bye
}

// answerAll serves the streams of a port-forward. When the client has half-closed a data stream,
// answerAll answers on that stream.
func answerAll(s httpstream.Stream, replied <-chan struct{}) error {
	go func() {
		<-replied
		b, err := io.ReadAll(s)
		if s.Headers().Get(corev1.StreamType) == corev1.StreamTypeData {
			fmt.Fprintf(s, "port %s received %q, %v", s.Headers().Get(corev1.PortHeader), b, err)
		}
		s.Close()
	}()
	return nil
}

// ask sends text on one connection of a port-forward, as client-go does, and returns the answer.
func ask(conn httpstream.Connection, port, text string) string {
	header := http.Header{}
	header.Set(corev1.PortHeader, port)
	header.Set(corev1.PortForwardRequestIDHeader, port) // the same for both streams of the connection
	header.Set(corev1.StreamType, corev1.StreamTypeError)
	failure, err := conn.CreateStream(header)
	if err != nil {
		return err.Error()
	}
	failure.Close() // the client sends nothing on the error stream
	header.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := conn.CreateStream(header)
	if err != nil {
		return err.Error()
	}
	io.WriteString(data, text)
	data.Close()
	answer, err := io.ReadAll(io.MultiReader(failure, data))
	if err != nil {
		return err.Error()
	}
	return string(answer)
}
