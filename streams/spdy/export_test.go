package spdy

// Dictionary is for tests that pack header blocks of their own.
var Dictionary = dictionary
