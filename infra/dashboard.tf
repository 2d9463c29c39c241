# What an operator looks at first: is it working, what waits, what was bought.
locals {
  of_events = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.events.name}\" AND ${local.resource}"
  queue     = "resource.type=\"cloud_tasks_queue\" AND resource.labels.queue_id=\"${google_cloud_tasks_queue.submissions.name}\" AND metric.type=\"cloudtasks.googleapis.com/queue"

  # Title, filter, how a series is measured, and by which label the lines of the chart differ.
  charts = [
    ["Requests to callback, by answer", local.requests["callback"], "ALIGN_SUM", "metric.label.response_code"],
    ["Callbacks and results", "${local.of_events} AND metric.labels.event=monitoring.regex.full_match(\"callback_.*|result_.*\")", "ALIGN_SUM", "metric.label.event"],
    ["Purchases", "${local.of_events} AND metric.labels.event=monitoring.regex.full_match(\"submitted|answer_lost|task_overdue|budget_exhausted\")", "ALIGN_SUM", "metric.label.event"],
    ["Refused, by code", "${local.of_events} AND metric.labels.event=monitoring.regex.full_match(\"rejected|upload_rejected|callback_rejected|callback_refused\")", "ALIGN_SUM", "metric.label.code"],
    ["Stored results, by status", "${local.of_events} AND metric.labels.event=\"result_stored\"", "ALIGN_SUM", "metric.label.status"],
    ["Seconds from callback to result (99 %)", local.user["result-delay"], "ALIGN_PERCENTILE_99", "resource.label.service_name"],
    ["Submissions in the queue", "${local.queue}/depth\"", "ALIGN_MAX", "resource.label.queue_id"],
    ["Delay of queued submissions, ms (99 %)", "${local.queue}/task_attempt_delays\"", "ALIGN_PERCENTILE_99", "resource.label.queue_id"],
    ["Age of the oldest message, s", "${local.subscription}/oldest_unacked_message_age\" AND (${local.pushed_ids})", "ALIGN_MAX", "resource.label.subscription_id"],
    ["Kept messages: dead and rejected", "${local.subscription}/num_undelivered_messages\" AND (${local.kept_ids})", "ALIGN_MAX", "resource.label.subscription_id"],
  ]
}

resource "google_monitoring_dashboard" "this" {
  project = var.project
  dashboard_json = jsonencode({
    displayName = "Transcripts: ${var.name}"
    gridLayout = {
      columns = "2" # as the API returns it; a number would differ in every plan
      widgets = concat(
        [
          for chart in local.charts : {
            title = chart[0]
            xyChart = {
              dataSets = [{
                plotType = "LINE"
                timeSeriesQuery = {
                  timeSeriesFilter = {
                    filter = chart[1]
                    aggregation = {
                      alignmentPeriod    = "300s"
                      perSeriesAligner   = chart[2]
                      crossSeriesReducer = chart[2] == "ALIGN_SUM" ? "REDUCE_SUM" : "REDUCE_MAX"
                      groupByFields      = [chart[3]]
                    }
                  }
                }
              }]
            }
          }
        ],
        [
          {
            title = "Bought transcripts that were stored, estimated dollars in 30 days"
            scorecard = {
              timeSeriesQuery = {
                prometheusQuery = "sum(increase(logging_googleapis_com:user_${replace(google_logging_metric.measured["media-seconds"].name, "-", "_")}_sum{monitored_resource=\"cloud_run_revision\"}[30d])) / 60 * 0.10"
              }
            }
          },
          {
            title = "Warnings and errors"
            logsPanel = {
              filter        = "${local.lines} AND severity>=WARNING"
              resourceNames = ["projects/${var.project}"]
            }
          },
        ],
      )
    }
  })

  depends_on = [google_project_service.this]
}
