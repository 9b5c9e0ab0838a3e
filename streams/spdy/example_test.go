package spdy_test

import (
	"bytes"
	"fmt"

	"edge/streams"
	"edge/streams/spdy"
)

// Example runs an exec without sockets: each side reads the bytes that the other side writes.
func Example() {
	set := streams.Set{Stdin: true, Stdout: true}
	print := func(source streams.Source) {
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
	client := spdy.NewExecClientSink(&toServer, set)
	client.Open()
	client.Write(roomy(streams.Data, streams.Stream{Role: streams.Stdin}, "hello"))
	client.Write(roomy(streams.HalfClose, streams.Stream{Role: streams.Stdin}, ""))
	client.Flush()

	answers := new(replies) // a streams.Replier: stores the SYN_REPLYs from the source fromClient
	fromClient := spdy.NewExecServerSource(streams.NewReader(bytes.NewReader(toServer.bytes), nil), answers, set)
	fmt.Println("the server reads")
	print(fromClient)
	fmt.Println("  whole:", fromClient.Whole(), "answers:", len(answers.said))

	server := spdy.NewExecServerSink(&toClient, fromClient)
	server.Write(roomy(streams.Data, streams.Stream{Role: streams.Stdout}, "HELLO"))
	server.Write(roomy(streams.HalfClose, streams.Stream{Role: streams.Stdout}, ""))
	server.Write(roomy(streams.Status, streams.Stream{Role: streams.Error}, `{"status":"Success"}`))
	server.Write(roomy(streams.Close, streams.Stream{}, ""))
	server.Flush()

	fmt.Println("the client reads")
	print(spdy.NewExecClientSource(streams.NewReader(bytes.NewReader(toClient.bytes), nil), new(replies), set))
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
