locals {
  # One entry per function. Everything else is derived from it, rights included: a function that has a
  # topic, a secret, the queue or the database in its environment has the right on it.
  #
  # called_by      pubsub, scheduler or tasks, each under its own identity; everybody; or only callers
  # callers        IAM members that may call it as well
  # database       its role on the Firestore database: user reads and writes, viewer reads
  # queue          enqueues submissions
  # reads_uploads  reads the upload bucket
  # signs_urls     signs URLs of Cloud Storage as its own identity
  # reaches_mavi   calls Mavi, from the static IP address if there is one
  # publishes      environment variable = topic that it publishes to
  # secrets        environment variable = secret
  functions = {
    submit = {
      called_by     = "tasks"
      callers       = var.submit_callers
      ingress       = coalesce(var.submit_ingress, length(var.submit_callers) > 0 ? "ALLOW_ALL" : "ALLOW_INTERNAL_ONLY")
      database      = "user"
      queue         = true
      reads_uploads = true
      signs_urls    = false
      reaches_mavi  = true
      publishes     = { RESULTS_TOPIC = "results" }
      secrets       = { MAVI_API_KEY = "mavi-api-key" }
      # Streams eight uploads at once: 150 MiB at most, measured with objects of 100 MiB (make bench). A
      # task may take half an hour, most of it waiting. One instance, because it keeps the rate limit of
      # the account.
      size = { cpu = "1", memory = "512Mi", concurrency = 80, timeout_s = 1800, min_instances = 0, max_instances = 1 }
    }
    ingest = {
      called_by     = "pubsub"
      callers       = []
      ingress       = "ALLOW_INTERNAL_ONLY"
      database      = "user"
      queue         = true
      reads_uploads = false
      signs_urls    = false
      reaches_mavi  = false
      publishes     = {}
      secrets       = {}
      # Events of a few kilobytes with one or two RPCs each: few instances serve a burst of thousands.
      size = { cpu = "1", memory = "256Mi", concurrency = 40, timeout_s = 60, min_instances = 0, max_instances = 5 }
    }
    callback = {
      called_by     = "everybody"
      callers       = []
      ingress       = "ALLOW_ALL"
      database      = null
      queue         = false
      reads_uploads = false
      signs_urls    = false
      reaches_mavi  = false
      publishes     = { CALLBACK_TOPIC = "callbacks", REJECTED_TOPIC = "callbacks-rejected" }
      secrets       = { CALLBACK_TOKENS = "callback-tokens" }
      # Two bodies over 1 MiB are held at once, beside any number below: 312 MiB at most, measured with
      # 80 bodies of 32 MiB and a silent broker. A body may take 120 s and Pub/Sub 10 s. A new instance
      # starts within seconds: none is kept.
      size = { cpu = "1", memory = "512Mi", concurrency = 80, timeout_s = 300, min_instances = 0, max_instances = 10 }
    }
    subscriber = {
      called_by     = "pubsub"
      callers       = []
      ingress       = "ALLOW_INTERNAL_ONLY"
      database      = "user"
      queue         = false
      reads_uploads = false
      signs_urls    = false
      reaches_mavi  = false
      publishes     = { RESULTS_TOPIC = "results" }
      secrets       = {}
      # Normalizing a result of 32 MiB needs several times its size, so two run at once: 380 MiB at most,
      # measured with eight hostile bodies of 32 MiB at once (make bench).
      size = { cpu = "1", memory = "1Gi", concurrency = 8, timeout_s = 120, min_instances = 0, max_instances = 10 }
    }
    results = {
      called_by     = "callers"
      callers       = var.results_callers
      ingress       = coalesce(var.results_ingress, length(var.results_callers) > 0 ? "ALLOW_ALL" : "ALLOW_INTERNAL_ONLY")
      database      = "user"
      queue         = false
      reads_uploads = var.play_media
      signs_urls    = var.play_media
      reaches_mavi  = true
      publishes     = {}
      secrets       = { MAVI_API_KEY = "mavi-api-key" }
      # Holds a page of segments for each reader, and one body of 32 MiB that it normalizes again.
      size = { cpu = "1", memory = "512Mi", concurrency = 20, timeout_s = 300, min_instances = 0, max_instances = 5 }
    }
    # What results answers, without every change: for people who may read, and neither rename nor delete.
    reader = {
      called_by     = "callers"
      callers       = var.reader_callers
      ingress       = coalesce(var.reader_ingress, length(var.reader_callers) > 0 ? "ALLOW_ALL" : "ALLOW_INTERNAL_ONLY")
      database      = "viewer"
      queue         = false
      reads_uploads = var.play_media
      signs_urls    = var.play_media
      reaches_mavi  = false
      publishes     = {}
      secrets       = {}
      # Holds a page of segments for each reader.
      size = { cpu = "1", memory = "512Mi", concurrency = 20, timeout_s = 300, min_instances = 0, max_instances = 5 }
    }
    sweep = {
      called_by     = "scheduler"
      callers       = []
      ingress       = "ALLOW_INTERNAL_ONLY"
      database      = "user"
      queue         = true
      reads_uploads = false
      signs_urls    = false
      reaches_mavi  = false
      publishes     = {}
      secrets       = {}
      # At most 1,000 documents, eight at once. Overlapping runs are safe but useless.
      size = { cpu = "1", memory = "256Mi", concurrency = 4, timeout_s = 300, min_instances = 0, max_instances = 1 }
    }
  }

  # Every other setting with the functions that read it: one line each. tests/infra compares names, readers,
  # defaults and bounds with functions/transcripts/settings.py.
  settings = {
    FIRESTORE_DATABASE       = { readers = local.with_database, value = google_firestore_database.this.name }
    GOOGLE_CLOUD_PROJECT     = { readers = local.with_database, value = var.project }
    MATCH_CONTENT            = { readers = ["ingest", "submit"], value = tostring(var.match_content) }
    MAVI_BASE_URL            = { readers = ["results", "submit"], value = var.mavi_base_url }
    MAVI_REQUESTS_PER_SECOND = { readers = ["results", "submit"], value = tostring(var.mavi_requests_per_second) }
    MAX_OBJECT_BYTES         = { readers = ["ingest", "submit"], value = tostring(var.max_object_bytes) }
    MAX_SUBMISSIONS_PER_DAY  = { readers = ["submit"], value = tostring(var.max_submissions_per_day) }
    OVERDUE_AFTER_MINUTES    = { readers = ["sweep"], value = tostring(var.overdue_after_minutes) }
    PLAY_MEDIA               = { readers = ["reader", "results"], value = tostring(var.play_media) }
    QUEUE_INVOKER            = { readers = local.with_queue, value = google_service_account.caller["submit"].email }
    REDACT_FACES             = { readers = ["results", "subscriber"], value = tostring(var.redact_faces) }
    RESUBMIT_OVERDUE         = { readers = ["sweep"], value = tostring(var.resubmit_overdue) }
    RETENTION_DAYS           = { readers = local.with_database, value = tostring(var.retention_days) }
    SUBMIT_QUEUE             = { readers = local.with_queue, value = "projects/${var.project}/locations/${var.region}/queues/${google_cloud_tasks_queue.submissions.name}" }
    SUBMIT_URL               = { readers = local.with_queue, value = local.urls["submit"] }
    TRANSCRIPTS_BACKEND      = { readers = keys(local.functions), value = "google" }
    UPLOAD_BUCKET            = { readers = ["reader", "results"], value = var.play_media ? google_storage_bucket.uploads.name : "" }
  }
  with_database = [for name, function in local.functions : name if function.database != null]
  with_queue    = [for name, function in local.functions : name if function.queue]

  environments = {
    for name, function in local.functions : name => merge(
      { for variable, setting in local.settings : variable => setting.value if contains(setting.readers, name) },
      { for variable, topic in function.publishes : variable => local.topic_paths[topic] },
    )
  }

  sizes = {
    for name, function in local.functions : name => merge(function.size, {
      for key, value in try(var.function_sizes[name], {}) : key => value if value != null
    })
  }

  # The MiB that Cloud Run gives to an instance, from and to, by its vCPUs:
  # https://cloud.google.com/run/docs/configuring/services/cpu
  memory_of_cpu = {
    "1" = [128, 4096], "2" = [128, 8192], "4" = [2048, 16384], "6" = [4096, 24576], "8" = [4096, 32768]
  }
  memory_bounds = {
    for name, size in local.sizes : name =>
    tonumber(size.cpu) < 0.5 ? [128, 512] : tonumber(size.cpu) < 1 ? [128, 1024] : local.memory_of_cpu[size.cpu]
  }
  memory_mib = {
    for name, size in local.sizes : name => tonumber(regex("[0-9]+", size.memory)) * (endswith(size.memory, "Gi") ? 1024 : 1)
  }

  # The URLs are known before the functions exist, so functions can refer to each other:
  # https://cloud.google.com/run/docs/triggering/https-request#deterministic
  urls = {
    for name in keys(local.functions) :
    name => "https://${var.name}-${name}-${data.google_project.this.number}.${var.region}.run.app"
  }
}

resource "google_cloudfunctions2_function" "this" {
  for_each = local.functions

  project     = var.project
  location    = var.region
  name        = "${var.name}-${each.key}"
  description = "mavi-transcripts: ${each.key}"

  build_config {
    runtime           = "python313"
    entry_point       = each.key
    service_account   = "projects/${var.project}/serviceAccounts/${google_service_account.build.email}"
    docker_repository = "projects/${var.project}/locations/${var.region}/repositories/${google_artifact_registry_repository.functions.repository_id}"

    # The file of the entry point. Google's build reads it; a runtime variable of that name is ignored:
    # https://github.com/GoogleCloudPlatform/buildpacks/issues/605
    environment_variables = {
      GOOGLE_FUNCTION_SOURCE = "${each.key}.py"
    }
    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.package.name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.function[each.key].email
    ingress_settings                 = each.value.ingress
    available_cpu                    = local.sizes[each.key].cpu
    available_memory                 = local.sizes[each.key].memory
    max_instance_request_concurrency = local.sizes[each.key].concurrency
    timeout_seconds                  = local.sizes[each.key].timeout_s
    min_instance_count               = local.sizes[each.key].min_instances
    max_instance_count               = local.sizes[each.key].max_instances
    environment_variables            = local.environments[each.key]

    dynamic "secret_environment_variables" {
      for_each = each.value.secrets
      iterator = secret
      content {
        key        = secret.key
        project_id = var.project
        secret     = google_secret_manager_secret.this[secret.value].secret_id
        version    = local.secret_versions[secret.value]
      }
    }

    direct_vpc_egress = var.static_ip && each.value.reaches_mavi ? "VPC_EGRESS_ALL_TRAFFIC" : null
    dynamic "direct_vpc_network_interface" {
      for_each = each.value.reaches_mavi ? google_compute_subnetwork.egress[*] : []
      content {
        network    = direct_vpc_network_interface.value.network
        subnetwork = direct_vpc_network_interface.value.id
      }
    }
  }

  # The build needs its rights, a starting function needs its secrets, and a called function needs the
  # indexes of its queries. Indexes take minutes to build, longer than a new grant takes to spread.
  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_firestore_field.expiry,
    google_firestore_field.unindexed,
    google_firestore_index.this,
    google_project_iam_member.build_logs,
    google_project_iam_member.build_sources,
    google_project_iam_member.database,
    google_pubsub_topic_iam_member.functions,
    google_secret_manager_secret_iam_member.functions,
    google_storage_bucket_iam_member.build,
    google_compute_router_nat.egress,
  ]

  lifecycle {
    # The provider keeps direct_vpc_egress when it is no longer set, so turning static_ip off needs a
    # new function. Cloud Tasks repeats what submit does not answer meanwhile.
    replace_triggered_by = [terraform_data.network[each.key]]

    precondition {
      condition     = local.memory_mib[each.key] >= local.memory_bounds[each.key][0] && local.memory_mib[each.key] <= local.memory_bounds[each.key][1]
      error_message = "Cloud Run gives ${local.sizes[each.key].cpu} vCPU from ${local.memory_bounds[each.key][0]} to ${local.memory_bounds[each.key][1]} MiB: change cpu or memory."
    }
    precondition {
      condition     = local.sizes[each.key].concurrency == 1 || tonumber(local.sizes[each.key].cpu) >= 1
      error_message = "A concurrency above 1 needs at least 1 vCPU: raise cpu or set concurrency to 1."
    }
    precondition {
      condition     = local.sizes[each.key].min_instances <= local.sizes[each.key].max_instances
      error_message = "min_instances must not be more than max_instances."
    }
    precondition {
      condition     = each.key != "submit" || local.sizes[each.key].concurrency > var.queue_concurrency
      error_message = "queue_concurrency must be below submit's concurrency, or direct callers cannot get in."
    }
  }
}
