# What has to be given -------------------------------------------------------------------------------

variable "project" {
  description = "Google Cloud project id. It exists, and has a billing account."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project must be a project id, such as my-project-123: not its name, not its number."
  }
}

variable "package" {
  description = "Path of the zip that `make package` built; make gives it."
  type        = string
  nullable    = false

  validation {
    condition     = fileexists(var.package)
    error_message = "package must be the path of an existing zip. `make package` builds it."
  }
}

variable "mavi_api_key" {
  description = "Key of the Mavi account. It goes to Secret Manager and nowhere else; make gives it."
  type        = string
  nullable    = false
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = can(regex("^[!-~]{8,512}$", var.mavi_api_key))
    error_message = "mavi_api_key must be printable ASCII without spaces, at least 8 characters."
  }
}

variable "callback_tokens" {
  description = "One token, or two while one replaces the other, comma-separated. They go to Secret Manager and nowhere else; make gives them."
  type        = string
  nullable    = false
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{32,}(,[A-Za-z0-9_-]{32,})*$", var.callback_tokens))
    error_message = "callback_tokens must be comma-separated tokens, each of at least 32 characters A-Z a-z 0-9 _ -."
  }
}

variable "mavi_api_key_version" {
  description = "Raised by one, it writes mavi_api_key anew and has submit read it; `make set-api-key` does."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.mavi_api_key_version >= 1 && floor(var.mavi_api_key_version) == var.mavi_api_key_version
    error_message = "mavi_api_key_version must be a whole number, 1 or more."
  }
}

variable "callback_tokens_version" {
  description = "Raised by one, it writes callback_tokens anew and has callback read them; `make rotate-token` does."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.callback_tokens_version >= 1 && floor(var.callback_tokens_version) == var.callback_tokens_version
    error_message = "callback_tokens_version must be a whole number, 1 or more."
  }
}

# Where and under which names ------------------------------------------------------------------------

variable "name" {
  description = "What every resource's name begins with: another one for each environment in a project."
  type        = string
  default     = "transcripts"
  nullable    = false

  validation {
    # A service account's id has at most 30 characters, and the longest suffix has 14.
    condition     = can(regex("^[a-z][a-z0-9-]{2,14}[a-z0-9]$", var.name))
    error_message = "name must have 4 to 16 of a-z, 0-9 and -, begin with a letter and not end with a dash."
  }
  validation {
    # Else its functions' accounts would be called as those are that call the functions of another.
    condition     = !endswith(var.name, "-to")
    error_message = "name must not end in -to."
  }
}

variable "region" {
  description = "Region of the functions, queue, buckets and secrets."
  type        = string
  default     = "us-central1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "region must be a region such as us-central1: neither a zone nor a multi-region."
  }
}

variable "firestore_location" {
  description = "Location of the database, for ever: a region, or nam5 or eur3. Without: the region."
  type        = string
  default     = null

  validation {
    condition     = var.firestore_location == null || can(regex("^([a-z]+-[a-z]+[0-9]{1,2}|nam[0-9]+|eur[0-9]+)$", var.firestore_location))
    error_message = "firestore_location must be a region, or a multi-region such as nam5 or eur3."
  }
  validation {
    # A database's key is where the database is, and the same one is for what is in the region:
    # https://cloud.google.com/firestore/docs/reference/rest/v1/projects.databases#CmekConfig
    condition     = var.kms_key == null || var.firestore_location == null || var.firestore_location == var.region
    error_message = "firestore_location must be the region, or not set, if there is a kms_key: one key serves both."
  }
}

variable "database" {
  description = "Firestore database id. Without: the value of name, so that a database that is there already is never touched."
  type        = string
  default     = null

  validation {
    condition     = var.database == null || can(regex("^(\\(default\\)|[a-z][a-z0-9-]{2,61}[a-z0-9])$", var.database))
    error_message = "database must be (default), or 4 to 63 of a-z, 0-9 and -, beginning with a letter."
  }
}

# How the pipeline behaves; the README's table of settings says more ---------------------------------

variable "mavi_base_url" {
  description = "Address of the Mavi API."
  type        = string
  default     = "https://mavi-backend.memories.ai/serve/api/v2"
  nullable    = false

  validation {
    condition     = can(regex("^https://[^/?#@ ]+(/[^?# ]*)?$", var.mavi_base_url))
    error_message = "mavi_base_url must be an https:// address without query, fragment or user name."
  }
}

variable "mavi_requests_per_second" {
  description = "The Mavi account's limit for each endpoint. It paces the queue as well."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.mavi_requests_per_second > 0 && var.mavi_requests_per_second <= 500
    error_message = "mavi_requests_per_second must be more than 0 and at most 500, the most a queue dispatches."
  }
}

variable "max_submissions_per_day" {
  description = "Spend cap: paid submissions a UTC day, 0 = none."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.max_submissions_per_day >= 0 && floor(var.max_submissions_per_day) == var.max_submissions_per_day
    error_message = "max_submissions_per_day must be a whole number, 0 or more."
  }
}

variable "max_object_bytes" {
  description = "Uploaded objects larger than this are refused."
  type        = number
  default     = 5368709120
  nullable    = false

  validation {
    condition     = var.max_object_bytes >= 1 && var.max_object_bytes <= 5497558138880
    error_message = "max_object_bytes must be between 1 and the 5 TiB of an object."
  }
}

variable "overdue_after_minutes" {
  description = "Minutes after which a submitted task without a result is overdue."
  type        = number
  default     = 360
  nullable    = false

  validation {
    condition     = var.overdue_after_minutes >= 1 && floor(var.overdue_after_minutes) == var.overdue_after_minutes
    error_message = "overdue_after_minutes must be a whole number, 1 or more."
  }
}

variable "resubmit_overdue" {
  description = "How often an overdue asset is bought again, inside the spend cap; 0 = never."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.resubmit_overdue >= 0 && floor(var.resubmit_overdue) == var.resubmit_overdue
    error_message = "resubmit_overdue must be a whole number, 0 or more."
  }
}

variable "retention_days" {
  description = "Days until tasks and submissions expire, 0 = keep; else at least replay_days."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.retention_days >= 0 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days must be a whole number, 0 or more."
  }
  validation {
    # What the code takes; a date has an end.
    condition     = var.retention_days <= 36500
    error_message = "retention_days must be at most 36500."
  }
  validation {
    # An upload that is replayed after its purchase has expired would be bought again.
    condition     = var.retention_days == 0 || var.retention_days >= var.replay_days
    error_message = "retention_days must not be less than replay_days: what is replayed must still be known."
  }
}

variable "upload_retention_days" {
  description = "Days until an uploaded object is deleted from the bucket, 0 = keep. Its transcript stays."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.upload_retention_days == 0 || (var.upload_retention_days >= 3 && floor(var.upload_retention_days) == var.upload_retention_days)
    error_message = "upload_retention_days must be 0, or a whole number of at least 3: an object waits in the queue meanwhile."
  }
}

variable "replay_days" {
  description = "Days that topics keep every message, acknowledged or not, for `seek` to a time."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.replay_days >= 1 && var.replay_days <= 31 && floor(var.replay_days) == var.replay_days
    error_message = "replay_days must be a whole number from 1 to 31."
  }
}

variable "max_delivery_attempts" {
  description = "Deliveries until a message is a dead letter. 20, 10 s to 10 min apart, outlast a failure of two and a half hours."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.max_delivery_attempts >= 5 && var.max_delivery_attempts <= 100
    error_message = "max_delivery_attempts must be between 5 and 100, which is what Pub/Sub takes."
  }
}

variable "sweep_schedule" {
  description = "When sweep runs, as a cron expression in UTC; at least once an hour."
  type        = string
  default     = "*/15 * * * *"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9*,/-]+ \\*(/1)? \\* \\* \\*$", var.sweep_schedule))
    error_message = "sweep_schedule must be a cron expression that fires every hour, such as */15 * * * *."
  }
}

variable "function_sizes" {
  description = "What differs from the sizes in functions.tf, by function."
  type = map(object({
    cpu           = optional(string)
    memory        = optional(string)
    concurrency   = optional(number)
    timeout_s     = optional(number)
    min_instances = optional(number)
    max_instances = optional(number)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.function_sizes) : contains(keys(local.functions), name)])
    error_message = "function_sizes has an unknown function; known are: ${join(", ", keys(local.functions))}."
  }
  validation {
    condition     = try(var.function_sizes["submit"].max_instances, null) == null || try(var.function_sizes["submit"].max_instances, 1) == 1
    error_message = "submit runs as one instance: it keeps the pace of the Mavi account, and two would double it."
  }
  validation {
    condition = alltrue([
      for name, size in var.function_sizes : size.timeout_s == null || try(
        size.timeout_s >= 10 && size.timeout_s <= (name == "submit" ? 3600 : 540), false
      )
    ])
    error_message = "timeout_s must be 10 to 540, so that it fits Pub/Sub's acknowledgement deadline; for submit, up to 3600."
  }
  validation {
    # It is the scheduler's attempt_deadline too:
    # https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs
    condition     = try(var.function_sizes["sweep"].timeout_s >= 15, true)
    error_message = "sweep's timeout_s must be at least 15, the least that Cloud Scheduler waits."
  }
  validation {
    condition = alltrue([
      for size in values(var.function_sizes) : size.memory == null || can(regex("^[0-9]+(Mi|Gi)$", size.memory))
    ])
    error_message = "memory must be like 512Mi or 1Gi."
  }
  validation {
    condition = alltrue(flatten([
      for size in values(var.function_sizes) : [
        size.max_instances == null || try(size.max_instances >= 1, false),
        size.min_instances == null || try(size.min_instances >= 0, false),
        size.concurrency == null || try(size.concurrency >= 1 && size.concurrency <= 1000, false),
      ]
    ]))
    error_message = "max_instances must be 1 or more, min_instances 0 or more, concurrency 1 to 1000."
  }
}

variable "queue_concurrency" {
  description = "Submissions of the queue that are worked on at once; each may be an upload of many minutes. Below submit's concurrency, so that direct callers get in."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.queue_concurrency >= 1 && var.queue_concurrency <= 1000
    error_message = "queue_concurrency must be between 1 and 1000."
  }
}

# Who gets in ----------------------------------------------------------------------------------------

variable "submit_callers" {
  description = "Who may call submit beside the queue, as IAM members such as user:ada@example.com. With none it takes internal traffic only."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.submit_callers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+$", member))])
    error_message = "submit_callers must be IAM members such as user:ada@example.com; submit spends money, so allUsers and allAuthenticatedUsers are refused."
  }
}

variable "submit_ingress" {
  description = "Where submit may be called from. Without: ALLOW_ALL if there are submit_callers, who still need IAM's leave; else ALLOW_INTERNAL_ONLY."
  type        = string
  default     = null

  validation {
    condition     = var.submit_ingress == null || contains(["ALLOW_ALL", "ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"], coalesce(var.submit_ingress, "-"))
    error_message = "submit_ingress must be ALLOW_ALL, ALLOW_INTERNAL_ONLY or ALLOW_INTERNAL_AND_GCLB."
  }
}

variable "uploaders" {
  description = "Who may put objects into the upload bucket, as IAM members."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for member in var.uploaders : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+$", member))])
    error_message = "uploaders must be IAM members such as user:ada@example.com; every upload spends money, so allUsers and allAuthenticatedUsers are refused."
  }
}

# What is optional -----------------------------------------------------------------------------------

variable "deletion_protection" {
  description = "Keeps the database and the uploaded objects, whatever is destroyed."
  type        = bool
  default     = true
  nullable    = false
}

variable "alert_email" {
  description = "Where alerts go. Without: no alerts are made."
  type        = string
  default     = null

  validation {
    condition     = var.alert_email == null || can(regex("^[^@\\s]+@[^@\\s]+$", var.alert_email))
    error_message = "alert_email must be an e-mail address."
  }
}

variable "static_ip" {
  description = "Has submit reach Mavi from one fixed address, which Mavi can allow. Costs a NAT gateway."
  type        = bool
  default     = false
  nullable    = false
}

variable "kms_key" {
  description = "Key of your own for buckets, topics, secrets and database, in the region, from the first deployment on. Without: Google's keys."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be like projects/P/locations/L/keyRings/R/cryptoKeys/K."
  }
  validation {
    condition     = var.kms_key == null || try(split("/", var.kms_key)[3] == var.region, true)
    error_message = "kms_key must be in the region: what it encrypts is there."
  }
}
