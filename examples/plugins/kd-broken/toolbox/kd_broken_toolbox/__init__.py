"""One thing of every role, broken in each way. For the tests of kdcore's isolation."""
