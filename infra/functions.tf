locals {
  # One entry per function. Everything else is derived from it, rights included.
  #
  # called_by      pubsub, scheduler or tasks, each under its own identity; everybody; or only callers
  # callers        IAM members that may call it as well
  # database       reads and writes the Firestore database
  # queue          enqueues submissions
  # reads_uploads  reads the upload bucket
  # signs_urls     signs URLs of Cloud Storage as its own identity
  # reaches_mavi   calls Mavi, from the static IP address if there is one
  # publishes      topics that it publishes to
  # secrets        environment variable = secret
  # settings       further environment variables; their values are below
  functions = {
    submit = {
      called_by     = "tasks"
      callers       = var.submit_callers
      ingress       = coalesce(var.submit_ingress, length(var.submit_callers) > 0 ? "ALLOW_ALL" : "ALLOW_INTERNAL_ONLY")
      database      = true
      queue         = true
      reads_uploads = true
      signs_urls    = false
      reaches_mavi  = true
      publishes     = []
      secrets       = { MAVI_API_KEY = "mavi-api-key" }
      settings = [
        "MAVI_BASE_URL", "MAVI_REQUESTS_PER_SECOND", "MAX_OBJECT_BYTES", "MAX_SUBMISSIONS_PER_DAY",
      ]
      # Streams eight uploads at once: 150 MiB at most, measured with objects of 100 MiB (make bench). A
      # task may take half an hour, most of it waiting. One instance, because it keeps the rate limit of
      # the account.
      size = { cpu = "1", memory = "512Mi", concurrency = 80, timeout_s = 1800, min_instances = 0, max_instances = 1 }
    }
    ingest = {
      called_by     = "pubsub"
      callers       = []
      ingress       = "ALLOW_INTERNAL_ONLY"
      database      = true
      queue         = true
      reads_uploads = false
      signs_urls    = false
      reaches_mavi  = false
      publishes     = []
      secrets       = {}
      settings      = ["MAX_OBJECT_BYTES"]
      # Events of a few kilobytes with one or two RPCs each: few instances serve a burst of thousands.
      size = { cpu = "1", memory = "256Mi", concurrency = 40, timeout_s = 60, min_instances = 0, max_instances = 5 }
    }
    callback = {
      called_by     = "everybody"
      callers       = []
      ingress       = "ALLOW_ALL"
      database      = false
      queue         = false
      reads_uploads = false
      signs_urls    = false
      reaches_mavi  = false
      publishes     = ["callbacks", "callbacks-rejected"]
      secrets       = { CALLBACK_TOKENS = "callback-tokens" }
      settings      = ["CALLBACK_TOPIC", "REJECTED_TOPIC"]
      # Two bodies over 1 MiB are held at once, beside any number below: 312 MiB at most, measured with
      # 80 bodies of 32 MiB and a silent broker. A body may take 120 s and Pub/Sub 10 s. A new instance
      # starts within seconds: none is kept.
      size = { cpu = "1", memory = "512Mi", concurrency = 80, timeout_s = 300, min_instances = 0, max_instances = 10 }
    }
    subscriber = {
      called_by     = "pubsub"
      callers       = []
      ingress       = "ALLOW_INTERNAL_ONLY"
      database      = true
      queue         = false
      reads_uploads = false
      signs_urls    = false
      reaches_mavi  = false
      publishes     = ["results"]
      secrets       = {}
      settings      = ["REDACT_FACES", "RESULTS_TOPIC"]
      # Normalizing a result of 32 MiB needs several times its size, so two run at once: 380 MiB at most,
      # measured with eight hostile bodies of 32 MiB at once (make bench).
      size = { cpu = "1", memory = "1Gi", concurrency = 8, timeout_s = 120, min_instances = 0, max_instances = 10 }
    }
    results = {
      called_by     = "callers"
      callers       = var.results_callers
      ingress       = coalesce(var.results_ingress, length(var.results_callers) > 0 ? "ALLOW_ALL" : "ALLOW_INTERNAL_ONLY")
      database      = true
      queue         = false
      reads_uploads = var.play_media
      signs_urls    = var.play_media
      reaches_mavi  = true
      publishes     = []
      secrets       = { MAVI_API_KEY = "mavi-api-key" }
      settings      = ["MAVI_BASE_URL", "MAVI_REQUESTS_PER_SECOND", "PLAY_MEDIA", "REDACT_FACES", "UPLOAD_BUCKET"]
      # Holds a page of segments for each reader, and one body of 32 MiB that it normalizes again.
      size = { cpu = "1", memory = "512Mi", concurrency = 20, timeout_s = 300, min_instances = 0, max_instances = 5 }
    }
    sweep = {
      called_by     = "scheduler"
      callers       = []
      ingress       = "ALLOW_INTERNAL_ONLY"
      database      = true
      queue         = true
      reads_uploads = false
      signs_urls    = false
      reaches_mavi  = false
      publishes     = []
      secrets       = {}
      settings      = ["OVERDUE_AFTER_MINUTES", "RESUBMIT_OVERDUE"]
      # At most 1,000 documents, eight at once. Overlapping runs are safe but useless.
      size = { cpu = "1", memory = "256Mi", concurrency = 4, timeout_s = 300, min_instances = 0, max_instances = 1 }
    }
  }

  # The value of every environment variable that is not secret; below, which function has which.
  settings = {
    TRANSCRIPTS_BACKEND      = "google"
    CALLBACK_TOPIC           = local.topic_paths["callbacks"]
    FIRESTORE_DATABASE       = google_firestore_database.this.name
    GOOGLE_CLOUD_PROJECT     = var.project
    MAVI_BASE_URL            = var.mavi_base_url
    MAVI_REQUESTS_PER_SECOND = tostring(var.mavi_requests_per_second)
    MAX_OBJECT_BYTES         = tostring(var.max_object_bytes)
    MAX_SUBMISSIONS_PER_DAY  = tostring(var.max_submissions_per_day)
    OVERDUE_AFTER_MINUTES    = tostring(var.overdue_after_minutes)
    PLAY_MEDIA               = tostring(var.play_media)
    REDACT_FACES             = tostring(var.redact_faces)
    QUEUE_INVOKER            = google_service_account.caller["submit"].email
    REJECTED_TOPIC           = local.topic_paths["callbacks-rejected"]
    RESULTS_TOPIC            = local.topic_paths["results"]
    RESUBMIT_OVERDUE         = tostring(var.resubmit_overdue)
    RETENTION_DAYS           = tostring(var.retention_days)
    SUBMIT_QUEUE             = "projects/${var.project}/locations/${var.region}/queues/${google_cloud_tasks_queue.submissions.name}"
    SUBMIT_URL               = local.urls["submit"]
    UPLOAD_BUCKET            = google_storage_bucket.uploads.name
  }
  environments = {
    for name, function in local.functions : name => {
      for variable in concat(
        ["TRANSCRIPTS_BACKEND"],
        function.database ? ["FIRESTORE_DATABASE", "GOOGLE_CLOUD_PROJECT", "RETENTION_DAYS"] : [],
        function.queue ? ["QUEUE_INVOKER", "SUBMIT_QUEUE", "SUBMIT_URL"] : [],
        function.settings,
      ) : variable => local.settings[variable]
    }
  }

  sizes = {
    for name, function in local.functions : name => merge(function.size, {
      for key, value in try(var.function_sizes[name], {}) : key => value if value != null
    })
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
