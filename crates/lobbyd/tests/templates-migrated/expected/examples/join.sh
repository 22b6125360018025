# After join.md: commas between, none behind.
CACHES="10.0.0.6:6379,10.0.0.7:6379"
