"""What the private function ``results`` answers: tasks, transcripts, submissions, accounting."""
