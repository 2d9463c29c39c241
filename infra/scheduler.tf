resource "google_cloud_scheduler_job" "sweep" {
  project          = var.project
  region           = var.region
  name             = "${var.name}-sweep"
  description      = "Finds late results, lost answers and stalled submissions of ${var.name}"
  schedule         = var.sweep_schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "${local.sizes["sweep"].timeout_s}s"

  http_target {
    http_method = "POST"
    uri         = local.urls["sweep"]
    oidc_token {
      service_account_email = google_service_account.caller["sweep"].email
      audience              = local.urls["sweep"]
    }
  }
  retry_config {
    retry_count          = 2
    min_backoff_duration = "30s"
  }

  depends_on = [google_project_service.this, google_cloud_run_v2_service_iam_member.caller]
}
