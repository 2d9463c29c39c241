locals {
  secrets = toset(["mavi-api-key", "callback-tokens"])

  # Version numbers of Secret Manager. They are pinned, because "latest" is read when an instance starts:
  # some instances would have the old value and some the new one.
  secret_versions = {
    mavi-api-key    = google_secret_manager_secret_version.mavi_api_key.version
    callback-tokens = google_secret_manager_secret_version.callback_tokens.version
  }
}

resource "google_secret_manager_secret" "this" {
  for_each = local.secrets

  project   = var.project
  secret_id = "${var.name}-${each.key}"

  replication {
    user_managed {
      replicas {
        location = var.region

        dynamic "customer_managed_encryption" {
          for_each = var.kms_key[*]
          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}

# The functions change to the new version before the old one is destroyed.
resource "google_secret_manager_secret_version" "mavi_api_key" {
  secret                 = google_secret_manager_secret.this["mavi-api-key"].id
  secret_data_wo         = var.mavi_api_key
  secret_data_wo_version = var.mavi_api_key_version

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_secret_manager_secret_version" "callback_tokens" {
  secret                 = google_secret_manager_secret.this["callback-tokens"].id
  secret_data_wo         = var.callback_tokens
  secret_data_wo_version = var.callback_tokens_version

  lifecycle {
    create_before_destroy = true
  }
}
