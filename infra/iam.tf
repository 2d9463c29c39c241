# Every function and every caller has its own identity, and each role is granted on one resource. Roles
# on the project are only those that no resource accepts: a Firestore database has no policy, and the
# build writes logs and reads a bucket that Google creates.

locals {
  called = { for name, function in local.functions : name => function if contains(["pubsub", "scheduler", "tasks"], function.called_by) }
  public = { for name, function in local.functions : name => function if function.called_by == "everybody" }

  caller_ids = {
    for name, account in google_service_account.caller : name => "projects/${var.project}/serviceAccounts/${account.email}"
  }

  function_callers = merge([
    for name, function in local.functions : {
      for member in function.callers : "${name} ${member}" => { function = name, member = member }
    }
  ]...)
  function_topics = merge([
    for name, function in local.functions : {
      for topic in values(function.publishes) : "${name} ${topic}" => { function = name, topic = topic }
    }
  ]...)
  function_secrets = merge([
    for name, function in local.functions : {
      for secret in values(function.secrets) : "${name} ${secret}" => { function = name, secret = secret }
    }
  ]...)
}

# When a resource is replaced, its grants are lost and no plan shows it. replace_triggered_by makes them
# again (https://developer.hashicorp.com/terraform/language/meta-arguments/replace_triggered_by). It
# accepts only each.key as an index, so grants with other keys are triggered by these.
resource "terraform_data" "published_on" {
  for_each = local.function_topics

  triggers_replace = google_pubsub_topic.this[each.value.topic].id
}

resource "terraform_data" "read_on" {
  for_each = local.function_secrets

  triggers_replace = google_secret_manager_secret.this[each.value.secret].id
}

resource "terraform_data" "called_on" {
  for_each = local.function_callers

  triggers_replace = google_cloudfunctions2_function.this[each.value.function].id
}

resource "google_service_account" "function" {
  for_each = local.functions

  project      = var.project
  account_id   = "${var.name}-${each.key}"
  display_name = "${var.name}: runs ${each.key}"

  depends_on = [google_project_service.this]
}

resource "google_service_account" "caller" {
  for_each = local.called

  project      = var.project
  account_id   = "${var.name}-to-${each.key}"
  display_name = "${var.name}: ${each.value.called_by} calls ${each.key}"

  depends_on = [google_project_service.this]
}

resource "google_service_account" "build" {
  project      = var.project
  account_id   = "${var.name}-build"
  display_name = "${var.name}: builds the functions"

  depends_on = [google_project_service.this]
}

# Invoker roles are granted on the Cloud Run service, which has the function's name: the policy of a
# function refuses run.invoker (https://github.com/hashicorp/terraform-provider-google/issues/12562).
resource "google_cloud_run_v2_service_iam_member" "caller" {
  for_each = local.called

  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.this[each.key].name
  role     = "roles/run.invoker"
  member   = google_service_account.caller[each.key].member

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.this[each.key].id]
  }
}

resource "google_cloud_run_v2_service_iam_member" "people" {
  for_each = local.function_callers

  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.this[each.value.function].name
  role     = "roles/run.invoker"
  member   = each.value.member

  lifecycle {
    replace_triggered_by = [terraform_data.called_on[each.key]]
  }
}

# Mavi signs nothing and sends no credentials: callback checks the token in the path instead.
resource "google_cloud_run_v2_service_iam_member" "public" {
  for_each = local.public

  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.this[each.key].name
  role     = "roles/run.invoker"
  member   = "allUsers"

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.this[each.key].id]
  }
}

# Rights of the functions ----------------------------------------------------------------------------

resource "google_pubsub_topic_iam_member" "functions" {
  for_each = local.function_topics

  project = var.project
  topic   = google_pubsub_topic.this[each.value.topic].name
  role    = "roles/pubsub.publisher"
  member  = google_service_account.function[each.value.function].member

  lifecycle {
    replace_triggered_by = [terraform_data.published_on[each.key]]
  }
}

resource "google_secret_manager_secret_iam_member" "functions" {
  for_each = local.function_secrets

  project   = var.project
  secret_id = google_secret_manager_secret.this[each.value.secret].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function[each.value.function].member

  lifecycle {
    replace_triggered_by = [terraform_data.read_on[each.key]]
  }
}

# A Firestore database has no policy, so the role is granted on the project, for this database only:
# https://cloud.google.com/firestore/docs/manage-databases
resource "google_project_iam_member" "database" {
  for_each = { for name, function in local.functions : name => function if function.database != null }

  project = var.project
  role    = "roles/datastore.${each.value.database}"
  member  = google_service_account.function[each.key].member

  condition {
    title       = "${var.name} database"
    description = "This database and no other"
    expression  = "resource.name == \"projects/${var.project}/databases/${google_firestore_database.this.name}\""
  }
}

# Includes listing: without it Cloud Storage answers 403 instead of 404 for a deleted object.
resource "google_storage_bucket_iam_member" "uploads" {
  for_each = { for name, function in local.functions : name => function if function.reads_uploads }

  bucket = google_storage_bucket.uploads.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.function[each.key].member

  lifecycle {
    replace_triggered_by = [google_storage_bucket.uploads.id]
  }
}

# An enqueued task carries a token of the identity that may call submit, hence the second grant.
resource "google_cloud_tasks_queue_iam_member" "functions" {
  for_each = { for name, function in local.functions : name => function if function.queue }

  project  = var.project
  location = var.region
  name     = google_cloud_tasks_queue.submissions.name
  role     = "roles/cloudtasks.enqueuer"
  member   = google_service_account.function[each.key].member

  lifecycle {
    replace_triggered_by = [google_cloud_tasks_queue.submissions.id]
  }
}

resource "google_service_account_iam_member" "queue_token" {
  for_each = { for name, function in local.functions : name => function if function.queue }

  service_account_id = local.caller_ids["submit"]
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.function[each.key].member
}

# A function has no key: IAM signs as its identity, which therefore needs the role on itself.
# https://cloud.google.com/storage/docs/access-control/signing-urls-with-helpers
resource "google_service_account_iam_member" "signing" {
  for_each = { for name, function in local.functions : name => function if function.signs_urls }

  service_account_id = "projects/${var.project}/serviceAccounts/${google_service_account.function[each.key].email}"
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.function[each.key].member
}

# Rights of the build --------------------------------------------------------------------------------

resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.build.member

  lifecycle {
    replace_triggered_by = [google_storage_bucket.source.id]
  }
}

resource "google_artifact_registry_repository_iam_member" "build" {
  project    = var.project
  location   = var.region
  repository = google_artifact_registry_repository.functions.repository_id
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member

  lifecycle {
    replace_triggered_by = [google_artifact_registry_repository.functions.id]
  }
}

resource "google_project_iam_member" "build_logs" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}

# Cloud Functions copies the source into a bucket that it creates, and the build reads it there:
# https://github.com/hashicorp/terraform-provider-google/issues/20571
resource "google_project_iam_member" "build_sources" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.build.member

  condition {
    title       = "sources of functions"
    description = "The bucket that Cloud Functions creates with the first function"
    expression  = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${data.google_project.this.number}-${var.region}\")"
  }
}
