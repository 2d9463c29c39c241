output "callback_url" {
  description = "Address of callback, without the token: `make callback-url` prints it whole."
  value       = local.urls["callback"]
}

output "urls" {
  description = "Address of every function."
  value       = local.urls
}

output "upload_bucket" {
  description = "Where what is to be transcribed goes."
  value       = google_storage_bucket.uploads.name
}

output "database" {
  description = "Firestore database of the results."
  value       = google_firestore_database.this.name
}

output "queue" {
  description = "Queue of submissions."
  value       = google_cloud_tasks_queue.submissions.name
}

output "secrets" {
  description = "Secrets, with the version that is live as Secret Manager numbers it; no value."
  value = {
    for name in local.secrets : name => {
      secret_id = google_secret_manager_secret.this[name].secret_id
      version   = local.secret_versions[name]
    }
  }
}

output "secret_versions" {
  description = "mavi_api_key_version and callback_tokens_version as they were last applied."
  value = {
    mavi_api_key_version    = google_secret_manager_secret_version.mavi_api_key.secret_data_wo_version
    callback_tokens_version = google_secret_manager_secret_version.callback_tokens.secret_data_wo_version
  }
}

output "static_ip" {
  description = "Address that Mavi sees, if static_ip is on."
  value       = one(google_compute_address.egress[*].address)
}
