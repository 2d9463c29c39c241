# The request log of Cloud Run holds the path, and the callback's path is its token.
resource "google_logging_project_exclusion" "callback_requests" {
  project     = var.project
  name        = "${var.name}-callback-requests"
  description = "The path of a callback holds its token"
  filter = join(" AND ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=\"${google_service_account.function["callback"].account_id}\"",
    "log_id(\"run.googleapis.com/requests\")",
  ])

  depends_on = [google_project_service.this]
}

locals {
  minute_s = 60

  # What to be told of: a metric over a bound, or none at all, which is how a pipeline dies silently.
  alerts = var.alert_email == null ? {} : merge(
    {
      for topic, push in local.pushes : "dead letters of ${topic}" => {
        filter   = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.push[topic].name}\" AND metric.type=\"pubsub.googleapis.com/subscription/dead_letter_message_count\""
        over     = 0
        for_s    = 0
        aligner  = "ALIGN_SUM"
        advice   = "Messages that ${push.function} never took are in ${var.name}-${push.dead}-kept. See docs/deploy.md, Dead letters."
        missing  = false
        window_s = 5 * local.minute_s
      }
    },
    {
      for topic in local.kept : "waiting in ${topic}" => {
        filter   = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.kept[topic].name}\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\""
        over     = 0
        for_s    = 0
        aligner  = "ALIGN_MAX"
        advice   = "Somebody has to look at them within 31 days. See docs/deploy.md, Dead letters."
        missing  = false
        window_s = 5 * local.minute_s
      }
    },
    {
      for topic, push in local.pushes : "old messages of ${topic}" => {
        filter   = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.push[topic].name}\" AND metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
        over     = 15 * local.minute_s
        for_s    = 5 * local.minute_s
        aligner  = "ALIGN_MAX"
        advice   = "${push.function} does not keep up, or fails: look at its log."
        missing  = false
        window_s = 5 * local.minute_s
      }
    },
    {
      # sweep is called on a schedule, so its requests tell that calls, roles and database work.
      "sweep has not run" = {
        filter   = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${google_cloudfunctions2_function.this["sweep"].name}\" AND metric.type=\"run.googleapis.com/request_count\" AND metric.labels.response_code_class=\"2xx\""
        over     = null
        for_s    = 180 * local.minute_s
        aligner  = "ALIGN_SUM"
        advice   = "Late results and stalled work go unnoticed: look at the scheduler's job and at sweep's log."
        missing  = true
        window_s = 60 * local.minute_s
      }
    },
  )
}

resource "google_monitoring_notification_channel" "email" {
  count = var.alert_email == null ? 0 : 1

  project      = var.project
  display_name = "${var.name} alerts"
  type         = "email"
  labels       = { email_address = var.alert_email }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alerts

  project               = var.project
  display_name          = "${var.name}: ${each.key}"
  combiner              = "OR"
  notification_channels = google_monitoring_notification_channel.email[*].id

  conditions {
    display_name = each.key

    dynamic "condition_threshold" {
      for_each = each.value.missing ? [] : [each.value]
      iterator = alert
      content {
        filter          = alert.value.filter
        comparison      = "COMPARISON_GT"
        threshold_value = alert.value.over
        duration        = "${alert.value.for_s}s"
        aggregations {
          alignment_period   = "${alert.value.window_s}s"
          per_series_aligner = alert.value.aligner
        }
      }
    }
    dynamic "condition_absent" {
      for_each = each.value.missing ? [each.value] : []
      iterator = alert
      content {
        filter   = alert.value.filter
        duration = "${alert.value.for_s}s"
        aggregations {
          alignment_period   = "${alert.value.window_s}s"
          per_series_aligner = alert.value.aligner
        }
      }
    }
  }
  documentation {
    content   = each.value.advice
    mime_type = "text/markdown"
  }
}
