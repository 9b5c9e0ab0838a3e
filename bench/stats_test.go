package main

import (
	"slices"
	"testing"
	"time"
)

func TestSummarize(t *testing.T) {
	for _, test := range []struct {
		samples []float64
		want    summary
	}{
		{nil, summary{}},
		{[]float64{2}, summary{2, 2, 2}},
		{[]float64{3, 1, 2}, summary{2, 1, 3}},
		{[]float64{4, 1, 3, 2}, summary{2.5, 1, 4}},
		{[]float64{100, 1, 1, 1, 1}, summary{1, 1, 100}},
	} {
		given := slices.Clone(test.samples)
		if got := summarize(given); got != test.want {
			t.Errorf("%v: %+v, want %+v", test.samples, got, test.want)
		}
		if !slices.Equal(given, test.samples) {
			t.Errorf("%v was reordered to %v", test.samples, given)
		}
	}
}

func TestPairedRatios(t *testing.T) {
	for _, test := range []struct{ samples, base, want []float64 }{
		{nil, nil, nil},
		{[]float64{2, 9}, []float64{1, 3}, []float64{2, 3}},
		{[]float64{2, 9}, []float64{1}, []float64{2}},
		{[]float64{2, 9}, []float64{0, 3}, []float64{3}},
	} {
		if got := pairedRatios(test.samples, test.base); !slices.Equal(got, test.want) {
			t.Errorf("%v / %v = %v, want %v", test.samples, test.base, got, test.want)
		}
	}
}

func TestPercentileIsNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, test := range []struct {
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{nil, 50, 0},
		{[]time.Duration{7}, 0, 7},
		{[]time.Duration{7}, 99, 7},
		{[]time.Duration{1, 2, 3}, 50, 2},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 99.5, 100},
		{hundred, 100, 100},
	} {
		if got := percentile(test.sorted, test.p); got != test.want {
			t.Errorf("percentile %v of %d values is %d, want %d", test.p, len(test.sorted), got, test.want)
		}
	}
}
