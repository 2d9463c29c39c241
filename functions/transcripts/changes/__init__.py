"""What people change in a stored result: names, deletion, and making the result again."""
