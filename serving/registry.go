package serving

type registered struct{}
type registry struct{}

func (*registry) login(*Conn)   {}
func (*registry) refused(*Conn) {}
