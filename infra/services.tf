locals {
  services = toset(concat(
    [
      "artifactregistry.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudfunctions.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "cloudscheduler.googleapis.com",
      "cloudtasks.googleapis.com",
      "firestore.googleapis.com",
      "iam.googleapis.com",
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "pubsub.googleapis.com",
      "run.googleapis.com",
      "secretmanager.googleapis.com",
      "storage.googleapis.com",
    ],
    var.play_media ? ["iamcredentials.googleapis.com"] : [],
    var.static_ip ? ["compute.googleapis.com"] : [],
    var.kms_key != null ? ["cloudkms.googleapis.com"] : [],
  ))
}

# A destroy leaves the APIs enabled: something else in the project may use them.
resource "google_project_service" "this" {
  for_each = local.services

  project            = var.project
  service            = each.key
  disable_on_destroy = false
}
