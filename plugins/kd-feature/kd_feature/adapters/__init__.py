"""Feature adapters per architecture: the stages that the methods' papers take, by one name for each family."""
