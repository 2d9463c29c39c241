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

  # The log lines of our own code: docs/reference.md lists the events.
  lines = join(" AND ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=(${join(" OR ", [for function in google_cloudfunctions2_function.this : "\"${function.name}\""])})",
    "jsonPayload.function:*",
  ])
  # The measured fields of a stored result, in seconds.
  measured = {
    result-delay  = { field = "delay_s", of = "a result, from its callback until it is stored" }
    media-seconds = { field = "duration_s", of = "media in a stored transcript" }
  }
}

# Metrics from log lines -------------------------------------------------------------------------------

resource "google_logging_metric" "events" {
  project     = var.project
  name        = "${var.name}-events"
  description = "Log lines of ${var.name}, by event, code and status"
  filter      = local.lines

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
    dynamic "labels" {
      for_each = ["event", "code", "status"]
      content {
        key        = labels.value
        value_type = "STRING"
      }
    }
  }
  label_extractors = {
    event  = "EXTRACT(jsonPayload.message)"
    code   = "EXTRACT(jsonPayload.code)"
    status = "EXTRACT(jsonPayload.status)"
  }

  depends_on = [google_project_service.this]
}

resource "google_logging_metric" "measured" {
  for_each = local.measured

  project         = var.project
  name            = "${var.name}-${each.key}"
  description     = "Seconds of ${each.value.of}"
  filter          = "${local.lines} AND jsonPayload.message=\"result_stored\""
  value_extractor = "EXTRACT(jsonPayload.${each.value.field})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "s"
  }
  # The service level is read at a bound: 60 s.
  bucket_options {
    explicit_buckets {
      bounds = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400]
    }
  }

  depends_on = [google_project_service.this]
}

# Service levels ---------------------------------------------------------------------------------------

locals {
  resource  = "resource.type=\"cloud_run_revision\""
  requests  = { for name, function in google_cloudfunctions2_function.this : name => "${local.resource} AND resource.labels.service_name=\"${function.name}\" AND metric.type=\"run.googleapis.com/request_count\"" }
  user      = { for name, metric in google_logging_metric.measured : name => "${local.resource} AND metric.type=\"logging.googleapis.com/user/${metric.name}\"" }
  not_taken = "${local.requests["callback"]} AND metric.labels.response_code=monitoring.regex.full_match(\"5..|429\")"

  # A burn rate of 1 uses up all that a level allows in 28 days. See the chapter on alerting in
  # https://sre.google/workbook/alerting-on-slos/
  levels = {
    callbacks = { goal = 0.999, title = "callbacks answered 2xx" }
    results   = { goal = 0.99, title = "results stored within 60 s of their callback" }
  }
  burns = {
    fast = { rate = 14.4, hours = 1 }
    slow = { rate = 3, hours = 24 }
  }
}

resource "google_monitoring_custom_service" "this" {
  project      = var.project
  service_id   = "${var.name}-pipeline"
  display_name = "Transcripts: ${var.name}"

  depends_on = [google_project_service.this]
}

resource "google_monitoring_slo" "this" {
  for_each = local.levels

  project             = var.project
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "${var.name}-${each.key}"
  display_name        = "${each.value.goal * 100} % of ${each.value.title}"
  goal                = each.value.goal
  rolling_period_days = 28

  request_based_sli {
    # What strangers send is answered 404, and counts for nothing.
    dynamic "good_total_ratio" {
      for_each = each.key == "callbacks" ? [1] : []
      content {
        good_service_filter = "${local.requests["callback"]} AND metric.labels.response_code_class=\"2xx\""
        bad_service_filter  = local.not_taken
      }
    }
    dynamic "distribution_cut" {
      for_each = each.key == "results" ? [1] : []
      content {
        distribution_filter = local.user["result-delay"]
        range {
          max = local.minute_s
        }
      }
    }
  }
}

# Alerts -----------------------------------------------------------------------------------------------

locals {
  subscription = "resource.type=\"pubsub_subscription\" AND metric.type=\"pubsub.googleapis.com/subscription"
  pushed_ids   = join(" OR ", [for topic in keys(local.pushes) : "resource.labels.subscription_id=\"${google_pubsub_subscription.push[topic].name}\""])
  kept_ids     = join(" OR ", [for topic in local.kept : "resource.labels.subscription_id=\"${google_pubsub_subscription.kept[topic].name}\""])
  # As PromQL names the metric: https://cloud.google.com/monitoring/promql/promql-mapping
  events = "logging_googleapis_com:user_${replace(google_logging_metric.events.name, "-", "_")}"

  # Each alert stands in one of these maps, by what its condition reads. Its name is that of its runbook,
  # a section of docs/operations.md. First, a metric above a threshold:
  exceeded = merge(
    {
      "Callback failed" = {
        filter   = local.not_taken
        over     = 0
        for_s    = 0
        aligner  = "ALIGN_SUM"
        window_s = 5 * local.minute_s
        reducer  = null
        severity = "CRITICAL"
        advice   = "A callback was answered 5xx or 429, by callback or by Cloud Run itself: its result may be lost."
      }
      "Dead letters" = {
        filter   = "${local.subscription}/num_undelivered_messages\" AND (${local.kept_ids})"
        over     = 0
        for_s    = 0
        aligner  = "ALIGN_MAX"
        window_s = 5 * local.minute_s
        reducer  = null
        severity = "ERROR"
        advice   = "Messages could not be processed, or bodies were no callbacks. They are deleted after 31 days."
      }
      "Messages wait" = {
        filter   = "${local.subscription}/oldest_unacked_message_age\" AND (${local.pushed_ids})"
        over     = 15 * local.minute_s
        for_s    = 5 * local.minute_s
        aligner  = "ALIGN_MAX"
        window_s = 5 * local.minute_s
        reducer  = null
        severity = "ERROR"
        advice   = "subscriber or ingest fails, or is too slow: results or uploads wait."
      }
      "Refused tokens" = {
        filter   = "${local.requests["callback"]} AND metric.labels.response_code=\"404\""
        over     = 100
        for_s    = 0
        aligner  = "ALIGN_SUM"
        window_s = 10 * local.minute_s
        reducer  = "REDUCE_SUM"
        severity = "WARNING"
        advice   = "Many requests to callback had no live token: a stranger guesses, or Mavi has an old URL."
      }
    },
    {
      for burn in setproduct(keys(local.levels), keys(local.burns)) : "Service level: ${burn[0]} ${burn[1]}" => {
        filter   = "select_slo_burn_rate(\"projects/${var.project}/services/${google_monitoring_custom_service.this.service_id}/serviceLevelObjectives/${google_monitoring_slo.this[burn[0]].slo_id}\", \"${local.burns[burn[1]].hours}h\")"
        over     = local.burns[burn[1]].rate
        for_s    = 0
        aligner  = null
        window_s = null
        reducer  = null
        severity = burn[1] == "fast" ? "CRITICAL" : "WARNING"
        advice   = "Fewer than ${local.levels[burn[0]].goal * 100} % ${local.levels[burn[0]].title} in 28 days, if it goes on like in the last ${local.burns[burn[1]].hours} h."
      }
    },
  )

  # Second, a metric without data. All revisions are one time series; otherwise every replaced revision
  # would raise the alert. A metric that never had data raises none:
  # https://cloud.google.com/monitoring/alerts/concepts-indepth
  missing = {
    # sweep runs on a schedule, so its successful requests show that calls, roles and database work.
    "Sweep silent" = {
      filter   = "${local.requests["sweep"]} AND metric.labels.response_code_class=\"2xx\""
      for_s    = 180 * local.minute_s
      window_s = 60 * local.minute_s
      series   = ["resource.label.service_name"]
      severity = "ERROR"
      advice   = "No sweep has succeeded for three hours: late results and stalled submissions stay unnoticed."
    }
  }

  # Third, a log entry:
  logged = {
    # Includes a sweep that never ran.
    "Sweep failed" = {
      filter   = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${google_cloud_scheduler_job.sweep.name}\" AND severity>=ERROR"
      severity = "WARNING"
      advice   = "A call of the scheduler failed, and is repeated. If all fail, the alert Sweep silent follows."
    }
    "Overdue or unknown" = {
      filter   = "${local.lines} AND jsonPayload.message=(\"task_overdue\" OR \"answer_lost\")"
      severity = "WARNING"
      advice   = "A bought transcript has not come, or it is not known whether it was bought. At most one mail an hour is sent."
    }
    # Until a person has changed the account, every further submission is rejected too.
    "Mavi refuses" = {
      filter   = "${local.lines} AND jsonPayload.message=\"rejected\" AND jsonPayload.code=(\"provider_auth\" OR \"provider_no_credit\" OR \"provider_no_webhook\")"
      severity = "ERROR"
      advice   = "Mavi refuses the account: its key, its credit or its callback URL. Nothing is bought until that is repaired. At most one mail an hour is sent."
    }
    # Only lines of our own code. Cloud Run's entries about failed requests are left out: they are retried.
    "Error in the log" = {
      filter   = "${local.lines} AND severity>=ERROR AND jsonPayload.message!=\"answer_lost\""
      severity = "ERROR"
      advice   = "A purchase or a result needs a person. The fields of the line say which task. At most one mail an hour is sent, so look for further lines."
    }
  }

  # Fourth, a query:
  queried = merge(
    {
      "Results silent" = {
        query    = "sum(increase(${local.events}{monitored_resource=\"cloud_run_revision\",event=\"callback_published\"}[30m])) > 0 unless sum(increase(${local.events}{monitored_resource=\"cloud_run_revision\",event=~\"result_.*\"}[30m])) > 0"
        for_s    = 15 * local.minute_s
        severity = "ERROR"
        advice   = "Callbacks come, but no result is stored."
      }
    },
    var.max_submissions_per_day == 0 ? {} : {
      "Spend near the cap" = {
        query    = "sum(increase(${local.events}{monitored_resource=\"cloud_run_revision\",event=\"submitted\"}[1d])) > ${floor(var.max_submissions_per_day * 0.8)}"
        for_s    = 0
        severity = "WARNING"
        advice   = "More than four fifths of max_submissions_per_day (${var.max_submissions_per_day}) were bought in a day. At the cap, submissions wait until tomorrow."
      }
    },
  )

  alerts = {
    for name, alert in merge(local.exceeded, local.missing, local.logged, local.queried) :
    name => merge(alert, { anchor = replace(lower(split(":", name)[0]), " ", "-") }) if var.alert_email != null
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
  for_each = local.alerts

  project               = var.project
  display_name          = "${var.name}: ${each.key}"
  severity              = each.value.severity
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
        # A burn rate has its window in its filter.
        dynamic "aggregations" {
          for_each = alert.value.aligner[*]
          content {
            alignment_period     = "${alert.value.window_s}s"
            per_series_aligner   = aggregations.value
            cross_series_reducer = alert.value.reducer
          }
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
    dynamic "condition_prometheus_query_language" {
      for_each = [for name, alert in local.queried : alert if name == each.key]
      iterator = alert
      content {
        query               = alert.value.query
        duration            = "${alert.value.for_s}s"
        evaluation_interval = "${5 * local.minute_s}s"
        # The query has its metric from a log; Terraform may make both at once.
        disable_metric_validation = true
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
    content   = "${each.value.advice}\n\nRunbook: docs/operations.md#${each.value.anchor}"
    mime_type = "text/markdown"
    dynamic "links" {
      for_each = var.docs_url[*]
      content {
        display_name = "Runbook"
        url          = "${links.value}/operations.md#${each.value.anchor}"
      }
    }
  }
}
