# The wiring with values that are known only once everything is made, on mocks of the provider: no
# account, no network. What can be seen in a plan is asserted by tests/infra, with more to compare to.

mock_provider "google" {
  mock_data "google_project" {
    defaults = {
      number = "123456789012"
    }
  }
  mock_data "google_storage_project_service_account" {
    defaults = {
      email_address = "service-123456789012@gs-project-accounts.iam.gserviceaccount.com"
      member        = "serviceAccount:service-123456789012@gs-project-accounts.iam.gserviceaccount.com"
    }
  }
  mock_resource "google_service_account" {
    defaults = {
      email  = "mocked@my-project-123.iam.gserviceaccount.com"
      member = "serviceAccount:mocked@my-project-123.iam.gserviceaccount.com"
      name   = "projects/my-project-123/serviceAccounts/mocked@my-project-123.iam.gserviceaccount.com"
    }
  }
  mock_resource "google_secret_manager_secret_version" {
    defaults = {
      version = "7"
    }
  }
}

variables {
  project         = "my-project-123"
  package         = "versions.tf" # any file: nothing is uploaded
  mavi_api_key    = "made-up-key"
  callback_tokens = "made-up-token-made-up-token-made-up-token"
}

run "default" {
  assert {
    condition     = length(google_cloudfunctions2_function.this) == 5
    error_message = "Five functions are deployed."
  }
  assert {
    condition     = [for name, member in google_cloud_run_v2_service_iam_member.public : name] == ["callback"]
    error_message = "Only callback is public."
  }
  assert {
    condition     = alltrue([for service in google_cloud_run_v2_service_iam_member.caller : service.member != "allUsers"])
    error_message = "What is private is called by one identity each."
  }
  assert {
    condition = alltrue([
      for name, function in google_cloudfunctions2_function.this :
      function.service_config[0].ingress_settings == (name == "callback" ? "ALLOW_ALL" : "ALLOW_INTERNAL_ONLY")
    ])
    error_message = "Only callback takes requests from the internet."
  }
  assert {
    condition = alltrue([
      for subscription in google_pubsub_subscription.push :
      length(subscription.dead_letter_policy) == 1 && subscription.expiration_policy[0].ttl == ""
    ])
    error_message = "Every push has dead letters and never expires."
  }
  assert {
    condition = alltrue([
      for topic, push in google_pubsub_subscription.push :
      push.push_config[0].push_endpoint == output.urls[topic == "callbacks" ? "subscriber" : "ingest"]
    ])
    error_message = "Callbacks go to subscriber, uploads to ingest."
  }
  assert {
    condition = alltrue([
      for secret in google_cloudfunctions2_function.this["callback"].service_config[0].secret_environment_variables :
      secret.version == "7"
    ])
    error_message = "The version of a secret is pinned to the one that was written."
  }
  assert {
    condition     = google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_ENABLED"
    error_message = "The database is protected."
  }
  assert {
    condition     = google_cloud_tasks_queue.submissions.rate_limits[0].max_dispatches_per_second == 1
    error_message = "The queue keeps Mavi's pace."
  }
  assert {
    condition     = output.callback_url == "https://transcripts-callback-123456789012.us-central1.run.app"
    error_message = "The callback's address is told, without its token."
  }
  assert {
    condition     = output.secrets["mavi-api-key"].version == "7" && output.secret_versions.mavi_api_key_version == 1
    error_message = "make learns from the state which version is live."
  }
  assert {
    condition     = length(google_monitoring_alert_policy.this) == 0 && length(google_compute_network.egress) == 0
    error_message = "What is optional is off."
  }
}

run "minimal" {
  variables {
    name                  = "mini"
    deletion_protection   = false
    upload_retention_days = 0
    retention_days        = 1
    replay_days           = 1
  }

  assert {
    condition     = google_firestore_database.this.deletion_policy == "DELETE" && google_storage_bucket.uploads.force_destroy
    error_message = "What is not protected goes with the rest."
  }
  assert {
    condition     = length(google_storage_bucket.uploads.lifecycle_rule) == 2
    error_message = "With 0 days uploads are kept."
  }
  assert {
    condition     = google_cloudfunctions2_function.this["sweep"].service_config[0].environment_variables["RETENTION_DAYS"] == "1"
    error_message = "Functions are told how long things are kept."
  }
}

run "everything_on" {
  variables {
    region         = "europe-west1"
    database       = "(default)"
    static_ip      = true
    alert_email    = "ops@example.com"
    kms_key        = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k"
    submit_callers = ["user:ada@example.com", "group:editors@example.com"]
    uploaders      = ["user:ada@example.com"]
    function_sizes = { callback = { min_instances = 1, memory = "1Gi" } }
  }

  assert {
    condition     = google_cloudfunctions2_function.this["submit"].service_config[0].ingress_settings == "ALLOW_ALL"
    error_message = "submit_callers reach submit."
  }
  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.people) == 2
    error_message = "Every caller is let in by name."
  }
  assert {
    condition = [
      for name, function in google_cloudfunctions2_function.this : name
      if function.service_config[0].direct_vpc_egress == "VPC_EGRESS_ALL_TRAFFIC"
    ] == ["submit"]
    error_message = "submit alone leaves by the fixed address."
  }
  assert {
    condition     = one(google_cloudfunctions2_function.this["submit"].service_config[0].direct_vpc_network_interface).subnetwork == google_compute_subnetwork.egress[0].id
    error_message = "submit is in the network of the fixed address."
  }
  assert {
    condition     = google_cloudfunctions2_function.this["callback"].service_config[0].min_instance_count == 1 && google_cloudfunctions2_function.this["callback"].service_config[0].timeout_seconds == 300
    error_message = "A size overrides what it names and nothing else."
  }
  assert {
    condition     = length(google_kms_crypto_key_iam_member.agents) == 4
    error_message = "Every agent may use the key."
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : policy.notification_channels == tolist([google_monitoring_notification_channel.email[0].id])])
    error_message = "Every alert reaches somebody."
  }
}

run "submit_ingress_is_kept_when_it_is_given" {
  command = plan
  variables {
    submit_callers = ["user:ada@example.com"]
    submit_ingress = "ALLOW_INTERNAL_AND_GCLB"
  }

  assert {
    condition     = google_cloudfunctions2_function.this["submit"].service_config[0].ingress_settings == "ALLOW_INTERNAL_AND_GCLB"
    error_message = "submit_ingress decides."
  }
}

run "two_environments_side_by_side_first" {
  state_key = "first"
  variables {
    name = "transcripts"
  }
}

run "two_environments_side_by_side_second" {
  state_key = "second"
  variables {
    name = "transcripts-stg"
  }

  assert {
    condition     = output.callback_url != run.two_environments_side_by_side_first.callback_url
    error_message = "Each has its own callback."
  }
  assert {
    condition     = output.upload_bucket != run.two_environments_side_by_side_first.upload_bucket && output.database != run.two_environments_side_by_side_first.database && output.queue != run.two_environments_side_by_side_first.queue
    error_message = "Each has its own bucket, database and queue."
  }
  assert {
    condition     = output.secrets["mavi-api-key"].secret_id != run.two_environments_side_by_side_first.secrets["mavi-api-key"].secret_id
    error_message = "Each has its own secrets."
  }
}

run "a_first_database_may_be_the_default_one_and_elsewhere" {
  command = plan
  variables {
    region             = "europe-west1"
    firestore_location = "eur3"
    database           = "(default)"
  }

  assert {
    condition     = output.database == "(default)"
    error_message = "database decides."
  }
  assert {
    condition     = google_firestore_database.this.location_id == "eur3"
    error_message = "firestore_location decides."
  }
}

run "submit_stays_one_instance" {
  command = plan
  variables {
    function_sizes = { submit = { max_instances = 2 } }
  }
  expect_failures = [var.function_sizes]
}
