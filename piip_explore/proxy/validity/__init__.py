"""Does the proxy rank designs as full training did? Published results, cheap predictors, and honest statistics."""
