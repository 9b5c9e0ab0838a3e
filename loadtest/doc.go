// Package loadtest will be a black-box load driver: many sessions against any
// URL, with percentiles and errors by class. There is nothing yet.
package loadtest
