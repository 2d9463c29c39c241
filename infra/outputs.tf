output "callback_url" {
  description = "URL of callback without the token; `make callback-url` prints it with the token."
  value       = local.urls["callback"]
}

output "urls" {
  description = "URL of every function."
  value       = local.urls
}

output "results_url" {
  description = "URL of results, where results_callers read transcripts."
  value       = local.urls["results"]
}

output "reader_url" {
  description = "URL of reader, where reader_callers read transcripts: transcripts open --url URL."
  value       = local.urls["reader"]
}

output "results_topic" {
  description = "Topic that is told of every stored result; docs/events.md attaches subscribers."
  value       = local.topic_paths["results"]
}

output "upload_bucket" {
  description = "Bucket for media to transcribe."
  value       = google_storage_bucket.uploads.name
}

output "database" {
  description = "Firestore database that holds the results."
  value       = google_firestore_database.this.name
}

output "queue" {
  description = "Cloud Tasks queue of submissions."
  value       = google_cloud_tasks_queue.submissions.name
}

output "secrets" {
  description = "Secret ids and the live version of each in Secret Manager; no values."
  value = {
    for name in local.secrets : name => {
      secret_id = google_secret_manager_secret.this[name].secret_id
      version   = local.secret_versions[name]
    }
  }
}

output "secret_versions" {
  description = "Last applied values of mavi_api_key_version and callback_tokens_version."
  value = {
    mavi_api_key_version    = google_secret_manager_secret_version.mavi_api_key.secret_data_wo_version
    callback_tokens_version = google_secret_manager_secret_version.callback_tokens.secret_data_wo_version
  }
}

output "static_ip" {
  description = "IP address that Mavi sees, if static_ip is on."
  value       = one(google_compute_address.egress[*].address)
}
