"""Changes of a stored result by people: names, deletion, and making the result again."""
