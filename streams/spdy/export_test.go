package spdy

// Dictionary exports dictionary for tests that compress header blocks themselves.
var Dictionary = dictionary
