# Cloud Storage's service agent. Reading it creates it if it does not exist yet.
data "google_storage_project_service_account" "this" {
  project = var.project
}

# Media to transcribe. Every object that is uploaded here is paid for once.
resource "google_storage_bucket" "uploads" {
  project                     = var.project
  name                        = "${var.project}-${var.name}-uploads"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection

  dynamic "lifecycle_rule" {
    for_each = var.upload_retention_days > 0 ? [var.upload_retention_days] : []
    content {
      action {
        type = "Delete"
      }
      condition {
        age = lifecycle_rule.value
      }
    }
  }
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }
  # Components of parallel uploads that were interrupted. gcloud stores them below the first prefix.
  # gsutil puts a random number in front of the second one unless it resumes, and a lifecycle rule
  # cannot match in the middle of a name: such components stay until upload_retention_days.
  # https://cloud.google.com/storage/docs/parallel-composite-uploads
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 1
      matches_prefix = ["gcloud/tmp/parallel_composite_uploads/", "gsutil/tmp/parallel_composite_uploads/"]
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key[*]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}

# Cloud Storage's service agent publishes; without its role the notification cannot be created.
resource "google_storage_notification" "uploads" {
  bucket         = google_storage_bucket.uploads.name
  topic          = "//pubsub.googleapis.com/${local.topic_paths["uploads"]}"
  payload_format = "JSON_API_V1"
  event_types    = ["OBJECT_FINALIZE"]

  # Without a subscription the event of an early upload would be lost.
  depends_on = [google_pubsub_topic_iam_member.uploads, google_pubsub_subscription.push]
}

resource "google_pubsub_topic_iam_member" "uploads" {
  project = var.project
  topic   = google_pubsub_topic.this["uploads"].name
  role    = "roles/pubsub.publisher"
  member  = data.google_storage_project_service_account.this.member

  lifecycle {
    replace_triggered_by = [google_pubsub_topic.this["uploads"].id]
  }
}

resource "google_storage_bucket_iam_member" "uploaders" {
  for_each = toset(var.uploaders)

  bucket = google_storage_bucket.uploads.name
  role   = "roles/storage.objectCreator"
  member = each.key

  lifecycle {
    replace_triggered_by = [google_storage_bucket.uploads.id]
  }
}

# Source code of the functions.
resource "google_storage_bucket" "source" {
  project                     = var.project
  name                        = "${var.project}-${var.name}-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key[*]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}

# Named by its content: new code is deployed, unchanged code is not deployed again.
resource "google_storage_bucket_object" "package" {
  bucket       = google_storage_bucket.source.name
  name         = "functions-${filesha256(var.package)}.zip"
  source       = var.package
  content_type = "application/zip"

  lifecycle {
    create_before_destroy = true
  }
}

# A separate repository for the built images, so that the build has rights on nothing else.
resource "google_artifact_registry_repository" "functions" {
  project       = var.project
  location      = var.region
  repository_id = "${var.name}-functions"
  description   = "Built functions of ${var.name}"
  format        = "DOCKER"

  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 5
    }
  }
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "30d"
    }
  }

  depends_on = [google_project_service.this]
}
