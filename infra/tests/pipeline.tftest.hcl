# Assertions on mocks of the provider: no account, no network. They run for everybody who has only
# Terraform. tests/infra checks the same plans in detail.

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
}

variables {
  project         = "my-project-123"
  package         = "versions.tf" # any file: nothing is uploaded
  mavi_api_key    = "made-up-key"
  callback_tokens = "made-up-token-made-up-token-made-up-token"
}

run "default" {
  assert {
    condition     = length(google_cloudfunctions2_function.this) == 7
    error_message = "Seven functions have to be deployed."
  }
  assert {
    condition     = [for name, member in google_cloud_run_v2_service_iam_member.public : name] == ["callback"]
    error_message = "Only callback may be public."
  }
  assert {
    condition     = alltrue([for service in google_cloud_run_v2_service_iam_member.caller : service.member != "allUsers"])
    error_message = "One identity calls each private function."
  }
  assert {
    condition = alltrue([
      for name, function in google_cloudfunctions2_function.this :
      function.service_config[0].ingress_settings == (name == "callback" ? "ALLOW_ALL" : "ALLOW_INTERNAL_ONLY")
    ])
    error_message = "Only callback may accept requests from the internet."
  }
  assert {
    condition = alltrue([
      for subscription in google_pubsub_subscription.push :
      length(subscription.dead_letter_policy) == 1 && subscription.expiration_policy[0].ttl == ""
    ])
    error_message = "Every push subscription needs dead letters and must never expire."
  }
  assert {
    condition     = google_firestore_database.this.delete_protection_state == "DELETE_PROTECTION_ENABLED"
    error_message = "The database has to be protected."
  }
  assert {
    condition     = output.callback_url == "https://transcripts-callback-123456789012.us-central1.run.app"
    error_message = "The output has to be callback's URL without its token."
  }
  assert {
    condition     = output.secret_versions.mavi_api_key_version == 1
    error_message = "make reads the live version from the state."
  }
  assert {
    condition     = length(google_service_account_iam_member.signing) == 0 && [for name, member in google_storage_bucket_iam_member.uploads : name] == ["submit"]
    error_message = "results must not read the uploads by default."
  }
  assert {
    condition     = length(google_monitoring_alert_policy.this) == 0 && length(google_compute_network.egress) == 0
    error_message = "Options have to be off by default."
  }
}

run "everything_on" {
  variables {
    region          = "europe-west1"
    database        = "(default)"
    static_ip       = true
    alert_email     = "ops@example.com"
    kms_key         = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k"
    submit_callers  = ["user:ada@example.com", "group:editors@example.com"]
    results_callers = ["group:readers@example.com"]
    play_media      = true
    uploaders       = ["user:ada@example.com"]
    function_sizes  = { callback = { min_instances = 1, memory = "1Gi" } }
  }

  assert {
    condition     = google_cloudfunctions2_function.this["submit"].service_config[0].ingress_settings == "ALLOW_ALL"
    error_message = "submit_callers have to reach submit."
  }
  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.people) == 3
    error_message = "Every caller needs its own role."
  }
  assert {
    condition = [
      for name, function in google_cloudfunctions2_function.this : name
      if function.service_config[0].direct_vpc_egress == "VPC_EGRESS_ALL_TRAFFIC"
    ] == ["results", "submit"]
    error_message = "Only what calls Mavi sends by the static IP address."
  }
  assert {
    condition     = google_cloudfunctions2_function.this["callback"].service_config[0].min_instance_count == 1 && google_cloudfunctions2_function.this["callback"].service_config[0].timeout_seconds == 300
    error_message = "function_sizes has to change what it names and nothing else."
  }
  assert {
    condition     = [for name, member in google_service_account_iam_member.signing : name] == ["reader", "results"]
    error_message = "Only reader and results sign the URLs of recordings."
  }
  assert {
    condition     = length(google_kms_crypto_key_iam_member.agents) == 4
    error_message = "Every service agent needs its role on the key."
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : policy.notification_channels == tolist([google_monitoring_notification_channel.email[0].id])])
    error_message = "Every alert has to notify alert_email."
  }
}
