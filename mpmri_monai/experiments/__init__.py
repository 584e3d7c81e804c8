"""Many trainings that answer one question: planned as a table, executed by one engine, collected into one report."""
