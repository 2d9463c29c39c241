"""The routes of the private function ``results``: tasks, transcripts, submissions, accounting."""
