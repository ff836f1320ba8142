"""The results of docs/results.md: what is measured, how, and the tables it makes."""
