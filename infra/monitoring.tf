# Cloud Run's request log holds the path, and the path of a callback is its token.
resource "google_logging_project_exclusion" "callback_requests" {
  project     = var.project
  name        = "${var.name}-callback-requests"
  description = "The path of a callback is its token"
  filter = join(" AND ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=\"${google_service_account.function["callback"].account_id}\"",
    "log_id(\"run.googleapis.com/requests\")",
  ])

  depends_on = [google_project_service.this]
}

locals {
  minute_s = 60
  pushed   = { for topic in keys(local.pushes) : topic => google_pubsub_subscription.push[topic].name }

  # Alerts of three kinds. First, a metric above a threshold:
  exceeded = merge(
    {
      for topic, push in local.pushes : "dead letters of ${topic}" => {
        filter   = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${local.pushed[topic]}\" AND metric.type=\"pubsub.googleapis.com/subscription/dead_letter_message_count\""
        over     = 0
        for_s    = 0
        aligner  = "ALIGN_SUM"
        window_s = 5 * local.minute_s
        advice   = "Messages that ${push.function} never accepted are in ${var.name}-${push.dead}-kept. See docs/deploy.md, Dead letters."
      }
    },
    {
      for topic in local.kept : "waiting in ${topic}" => {
        filter   = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.kept[topic].name}\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\""
        over     = 0
        for_s    = 0
        aligner  = "ALIGN_MAX"
        window_s = 5 * local.minute_s
        advice   = "They are deleted after 31 days. See docs/deploy.md, Dead letters."
      }
    },
    {
      for topic, push in local.pushes : "old messages of ${topic}" => {
        filter   = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${local.pushed[topic]}\" AND metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
        over     = 15 * local.minute_s
        for_s    = 5 * local.minute_s
        aligner  = "ALIGN_MAX"
        window_s = 5 * local.minute_s
        advice   = "${push.function} fails or is too slow: look at its log."
      }
    },
    # The request log of callback is excluded, so this metric alone shows a request that Cloud Run
    # itself refused. Whether Mavi repeats a callback is not documented.
    {
      for name, label in {
        "callback answered 5xx" = "response_code_class=\"5xx\""
        "callback answered 429" = "response_code=\"429\""
        } : name => {
        filter   = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${google_cloudfunctions2_function.this["callback"].name}\" AND metric.type=\"run.googleapis.com/request_count\" AND metric.labels.${label}"
        over     = 0
        for_s    = 0
        aligner  = "ALIGN_SUM"
        window_s = 5 * local.minute_s
        advice   = "A callback was not accepted, so a result may be missing: look at callback's log and its instance count. sweep reports the task as overdue."
      }
    },
  )

  # Second, a metric without data. All revisions are one time series; otherwise every replaced revision
  # would raise the alert. A metric that never had data raises none:
  # https://cloud.google.com/monitoring/alerts/concepts-indepth
  missing = {
    # sweep runs on a schedule, so its successful requests show that calls, roles and database work.
    "sweep has not run" = {
      filter   = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${google_cloudfunctions2_function.this["sweep"].name}\" AND metric.type=\"run.googleapis.com/request_count\" AND metric.labels.response_code_class=\"2xx\""
      for_s    = 180 * local.minute_s
      window_s = 60 * local.minute_s
      series   = ["resource.label.service_name"]
      advice   = "Late results and stalled submissions stay unnoticed: look at the scheduler job and at sweep's log."
    }
  }

  # Third, a log entry:
  logged = {
    # Includes a sweep that never ran.
    "sweep failed" = {
      filter = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${google_cloud_scheduler_job.sweep.name}\" AND severity>=ERROR"
      advice = "A failed call is repeated. If all calls fail, late results and stalled submissions stay unnoticed: look at the scheduler job and at sweep's log."
    }
    # Only entries of our own code. Cloud Run's entries about failed requests are left out: they are retried.
    "money or a result may be lost" = {
      filter = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(${join(" OR ", [for function in google_cloudfunctions2_function.this : "\"${function.name}\""])}) AND severity>=ERROR AND jsonPayload.function:*"
      advice = "A purchase or a result needs a person. The message of the log entry says what happened, its fields say to which task. At most one mail an hour is sent, so look for further entries."
    }
  }

  advice = {
    for name, alert in merge(local.exceeded, local.missing, local.logged) : name => alert.advice if var.alert_email != null
  }
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
  for_each = local.advice

  project               = var.project
  display_name          = "${var.name}: ${each.key}"
  combiner              = "OR"
  notification_channels = google_monitoring_notification_channel.email[*].id

  conditions {
    display_name = each.key

    dynamic "condition_threshold" {
      for_each = [for name, alert in local.exceeded : alert if name == each.key]
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
      for_each = [for name, alert in local.missing : alert if name == each.key]
      iterator = alert
      content {
        filter   = alert.value.filter
        duration = "${alert.value.for_s}s"
        aggregations {
          alignment_period     = "${alert.value.window_s}s"
          per_series_aligner   = "ALIGN_SUM"
          cross_series_reducer = "REDUCE_SUM"
          group_by_fields      = alert.value.series
        }
      }
    }
    dynamic "condition_matched_log" {
      for_each = [for name, alert in local.logged : alert if name == each.key]
      iterator = alert
      content {
        filter = alert.value.filter
      }
    }
  }

  # The API requires a rate limit for log conditions, and refuses it for others.
  dynamic "alert_strategy" {
    for_each = [for name in keys(local.logged) : name if name == each.key]
    content {
      notification_rate_limit {
        period = "${60 * local.minute_s}s"
      }
    }
  }

  documentation {
    content   = each.value
    mime_type = "text/markdown"
  }
}
