package metric

import (
	"slices"
	"sync/atomic"
)

// A table has the series of one metric by their label values. Prometheus' vectors find a series by
// a hash and a comparison of all its values, and copy these; a table only looks up the place of each
// value, and allocates nothing.
type table[T any] struct {
	labels []Label
	places []map[string]int    // for each label, the place of each value in Label.Values
	series []atomic.Pointer[T] // by the places of all values; nil: not used yet
	create func(values ...string) *T
}

func newTable[T any](o Opts, create func(values ...string) *T) *table[T] {
	t := &table[T]{labels: o.Labels, series: make([]atomic.Pointer[T], o.series()), create: create}
	for _, l := range o.Labels {
		places := map[string]int{}
		for i, v := range l.Values {
			places[v] = i
		}
		t.places = append(t.places, places)
	}
	return t
}

// get returns the series with these label values. A value that is not declared counts as Other. get
// keeps neither the slice nor the values.
func (t *table[T]) get(values []string) *T {
	place := 0
	for i, l := range t.labels {
		at, ok := t.places[i][values[i]]
		if !ok {
			if at, ok = t.places[i][Other]; !ok {
				return t.create(bounded(t.labels, slices.Clone(values))...) // a mistake of edge's own: it has no place
			}
		}
		place = place*len(l.Values) + at
	}
	if s := t.series[place].Load(); s != nil {
		return s
	}
	// The vector returns the same series to two goroutines that come here at the same time.
	t.series[place].CompareAndSwap(nil, t.create(t.valuesAt(place)...))
	return t.series[place].Load()
}

// valuesAt returns the label values of a place.
func (t *table[T]) valuesAt(place int) []string {
	values := make([]string, len(t.labels))
	for i, l := range slices.Backward(t.labels) {
		values[i] = l.Values[place%len(l.Values)]
		place /= len(l.Values)
	}
	return values
}
