"""Is a flight going to arrive more than fifteen minutes late? Known an hour before it leaves."""
