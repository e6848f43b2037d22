"""Feature adapters per architecture: the stages that the papers of the methods use, with one name per family."""
