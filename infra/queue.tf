# One submission a second: the account's limit, for each endpoint of Mavi.
resource "google_cloud_tasks_queue" "submissions" {
  project  = var.project
  location = var.region
  name     = "${var.name}-submissions"

  rate_limits {
    max_dispatches_per_second = var.mavi_requests_per_second
    max_concurrent_dispatches = var.queue_concurrency
  }
  # 100 attempts are about 16 hours. What is given up after that is put on the queue again by sweep.
  retry_config {
    max_attempts  = 100
    min_backoff   = "10s"
    max_backoff   = "600s"
    max_doublings = 6
  }
  stackdriver_logging_config {
    sampling_ratio = 1
  }

  depends_on = [google_project_service.this]
}
