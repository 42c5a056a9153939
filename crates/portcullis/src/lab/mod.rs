//! A private network of namespaces, for the demo and the tests.
