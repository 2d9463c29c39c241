locals {
  day_s = 24 * 60 * 60

  # Topics. Those with replay keep every message for `seek`; dead and rejected messages are kept in a
  # subscription instead. The topic results has no subscription at first: docs/events.md.
  topics = {
    callbacks          = { replay = true }
    callbacks-rejected = { replay = false }
    callbacks-dead     = { replay = false }
    results            = { replay = false }
    uploads            = { replay = true }
    uploads-dead       = { replay = false }
  }
  topic_paths = { for name, topic in google_pubsub_topic.this : name => "projects/${var.project}/topics/${topic.name}" }

  # Each pushed topic, the function it is pushed to, and the topic for messages that keep failing.
  pushes = {
    callbacks = { function = "subscriber", dead = "callbacks-dead" }
    uploads   = { function = "ingest", dead = "uploads-dead" }
  }
  kept = toset(["callbacks-dead", "callbacks-rejected", "uploads-dead"])

  # Longer than the function may work on a message, so that no message is delivered twice at once. Kept
  # messages have the longest of these, since an operator may push them.
  ack_deadlines = {
    for topic, push in local.pushes : topic => min(600, local.sizes[push.function].timeout_s + 30)
  }

  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic" "this" {
  for_each = local.topics

  project                    = var.project
  name                       = "${var.name}-${each.key}"
  message_retention_duration = each.value.replay ? "${var.replay_days * local.day_s}s" : null
  kms_key_name               = var.kms_key

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}

# Separate push subscriptions, because those of a function's event_trigger have no dead letters
# (https://github.com/hashicorp/terraform-provider-google/issues/25069).
resource "google_pubsub_subscription" "push" {
  for_each = local.pushes

  project = var.project
  name    = "${var.name}-${each.key}-to-${each.value.function}"
  topic   = local.topic_paths[each.key]

  ack_deadline_seconds       = local.ack_deadlines[each.key]
  message_retention_duration = "${7 * local.day_s}s"

  push_config {
    push_endpoint = local.urls[each.value.function]
    oidc_token {
      service_account_email = google_service_account.caller[each.value.function].email
      audience              = local.urls[each.value.function]
    }
  }
  dead_letter_policy {
    dead_letter_topic     = local.topic_paths[each.value.dead]
    max_delivery_attempts = var.max_delivery_attempts
  }
  # Without a retry policy a failed message is retried at once, and all attempts are used within seconds.
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  expiration_policy {
    ttl = "" # never; the default deletes a subscription after 31 days without a message
  }

  # The first message needs all of this to be delivered.
  depends_on = [
    google_cloudfunctions2_function.this,
    google_cloud_run_v2_service_iam_member.caller,
    google_pubsub_subscription.kept,
    google_pubsub_topic_iam_member.dead_letters,
    google_service_account_iam_member.push_token,
  ]
}

# A topic without a subscription loses its messages, and an expired subscription does so silently.
resource "google_pubsub_subscription" "kept" {
  for_each = local.kept

  project                    = var.project
  name                       = "${var.name}-${each.key}-kept"
  topic                      = local.topic_paths[each.key]
  ack_deadline_seconds       = max(values(local.ack_deadlines)...)
  message_retention_duration = "${31 * local.day_s}s"

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub's service agent moves dead letters. Without both grants it silently does not.
resource "google_pubsub_topic_iam_member" "dead_letters" {
  for_each = toset([for push in values(local.pushes) : push.dead])

  project = var.project
  topic   = google_pubsub_topic.this[each.key].name
  role    = "roles/pubsub.publisher"
  member  = local.pubsub_agent

  lifecycle {
    replace_triggered_by = [google_pubsub_topic.this[each.key].id]
  }
}

resource "google_pubsub_subscription_iam_member" "dead_letters" {
  for_each = local.pushes

  project      = var.project
  subscription = google_pubsub_subscription.push[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent

  lifecycle {
    replace_triggered_by = [google_pubsub_subscription.push[each.key].id]
  }
}

# Pub/Sub's service agent creates the OIDC token of a push: https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions
resource "google_service_account_iam_member" "push_token" {
  for_each = local.pushes

  service_account_id = local.caller_ids[each.value.function]
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = local.pubsub_agent
}
