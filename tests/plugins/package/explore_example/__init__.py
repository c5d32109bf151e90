"""A package that adds a branch model, an evaluator and a proxy task to piip-explore."""
