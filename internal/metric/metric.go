package metric

import "slices"

// Other is the value of a label for everything that the label's Values do not have.
const Other = "other"

// A Label is a label of a metric.
type Label struct {
	Name string
	// Values are all values that the label may have. If not all are constants of edge, Other is
	// among them.
	Values []string
}

// Values of the label Direction.
const (
	In  = "in"  // from the client
	Out = "out" // to the client
)

// Direction is the label of metrics about bytes.
var Direction = Label{Name: "direction", Values: []string{In, Out}}

// Opts describes a metric.
type Opts struct {
	// Name is the metric's whole name, with its unit: edge_session_duration_seconds.
	Name string
	Help string
	// Labels may be empty.
	Labels []Label
	// Zeros makes a counter have all its series from the start, with the value 0. Without, a series
	// begins with its first event, whose value 1 is no increase: increase() in an alert misses it.
	Zeros bool
	// Buckets are the upper bounds of a histogram's classic buckets. Only Set.Histogram uses them.
	Buckets []float64
}

// series returns how many combinations of label values the metric may have.
func (o Opts) series() int {
	n := 1
	for _, l := range o.Labels {
		n *= len(l.Values)
	}
	return n
}

func (o Opts) labelNames() []string {
	names := make([]string, len(o.Labels))
	for i, l := range o.Labels {
		names[i] = l.Name
	}
	return names
}

// bounded replaces, in place, each value that its label does not declare with Other.
func bounded(labels []Label, values []string) []string {
	for i, l := range labels {
		if !slices.Contains(l.Values, values[i]) {
			values[i] = Other
		}
	}
	return values
}
