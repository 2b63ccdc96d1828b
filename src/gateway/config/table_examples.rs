//! An example of each table of the configuration file, for the file that `gateway init` writes.

/// An example of the table of that name, as TOML.
pub fn example(name: &str) -> &'static str {
    match name {
        "caps" => super::caps::EXAMPLE,
        "audit-sink" => super::audit_sinks::EXAMPLE,
        "workload" => {
            "[[workload]]\nname = \"deploy\"\nissuer = \"https://token.actions.githubusercontent.com\"\n\
                           audience = \"https://gpu.example.com\"\n\
                           claims = { repository_id = \"123456\", ref = \"refs/heads/main\" }\n\
                           scopes = [\"inference\", \"models:read\"]\nmodels = [\"llama3*\"]\nlimits = { requests-per-minute = 60 }\n"
        }
        "oidc" => {
            "[oidc.company]\nissuer = \"https://login.example.com\"\nclient-id = \"gpu-gateway\"\n\
                           client-secret-file = \"oidc-secret\"\ntitle = \"Company\"\nallowed-domains = [\"example.com\"]\n\
                           default-role = \"member\"\nrules = [{ value = \"gpu-admins\", role = \"admin\" }]\n"
        }
        "limits" => "[limits]\nrequests-per-minute = 600\nstreams = 16\ntokens-per-day = \"20M\"\n",
        "model-limits" => "[model-limits.\"llama3:70b\"]\ntokens-per-day = \"2M\"\non-exceed = \"cut\"\n",
        "environments" => {
            "[environments.staging]\nhosts = [\"staging.example.com\"]\nmax-key-age = \"30d\"\n\
              [environments.staging.role-limits.member]\nstreams = 1\n"
        }
        "groups" => "[groups.lab.limits]\nstreams = 8\n[groups.interns]\nwithin = \"lab\"\nlimits = { streams = 2 }\n",
        "addresses" => "[addresses]\nallow = [\"10.0.0.0/8\", \"2001:db8::/32\"]\ndeny = [\"10.9.0.0/16\"]\n",
        _ => {
            "[roles.research]\nbase = \"member\"\nmodels = [\"llama3*\", \"qwen3:*\"]\nmax-key-lifetime = \"90d\"\n\
              [roles.research.limits]\nrequests-per-minute = 60\nburst = 20\nstreams = 2\nrequest-size = \"10MiB\"\n"
        }
    }
}
