terraform {
  # 1.11 has write-only arguments, which keep secret values out of plan and state.
  required_version = ">= 1.11, < 2.0"

  required_providers {
    google = {
      source = "hashicorp/google"
      # The checks have run on 7.46 only: raise the upper bound when they have run on 8.x.
      version = ">= 7.40, < 8.0"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region

  default_labels = {
    app         = "mavi-transcripts"
    environment = var.name
  }
}

data "google_project" "this" {
  project_id = var.project
}
