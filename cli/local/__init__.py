"""The pipeline on this machine: functions as processes, with broker, queue, bucket and schedule."""
