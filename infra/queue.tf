# Mavi limits the account to one request a second per endpoint.
resource "google_cloud_tasks_queue" "submissions" {
  project  = var.project
  location = var.region
  name     = "${var.name}-submissions"

  rate_limits {
    max_dispatches_per_second = var.mavi_requests_per_second
    max_concurrent_dispatches = var.queue_concurrency
  }
  # 100 attempts take about 16 hours. After that sweep enqueues the submission again.
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
