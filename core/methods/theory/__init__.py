"""Theory: closed forms and predictions that a run can be held against."""
