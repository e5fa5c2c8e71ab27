"""What every door calls, gathered in one object that a process builds once."""
