use super::*;
use super::pages::page;
use wakustore::types::Filter;
pub(crate) fn run() {
    let file = files::ours(1_000_000);
    match std::env::var("TUNE").unwrap().as_str() {
        "first" => {
            let archive = open(&file, Durability::Full);
            for (name, n) in [("warm", 300), ("first", 20_000)] {
                let mut v: Vec<f64> = (0..n).map(|_| seconds(|| page(&archive, Filter::default(), None)) * 1e6).collect();
                v.sort_by(f64::total_cmp);
                println!("{name} p10 {:.1} median {:.1}", v[v.len() / 10], v[v.len() / 2]);
            }
            let bare = contenders::Bare::open(&file);
            let mut v: Vec<f64> = (0..5000).map(|_| seconds(|| bare.first_page()) * 1e6).collect();
            v.sort_by(f64::total_cmp);
            println!("bare p10 {:.1} median {:.1}", v[v.len() / 10], v[v.len() / 2]);
        }
        "open" => {
            let mut parts: Vec<[f64; 3]> = Vec::new();
            let mut b = Vec::new();
            for _ in 0..60 {
                let mut a = None;
                let t = Instant::now();
                let sqlite = SqliteConfig { durability: Durability::Full, ..SqliteConfig::new(&file) };
                let backend = SqliteBackend::open(sqlite).unwrap();
                let t1 = t.elapsed().as_secs_f64() * 1e6;
                a = a.or_else(|| Some(Archive::open(backend, config()).unwrap()));
                let t2 = t.elapsed().as_secs_f64() * 1e6;
                let archive = a.unwrap();
                page(&archive, Filter::default(), None);
                let t3 = t.elapsed().as_secs_f64() * 1e6;
                parts.push([t1, t2, t3]);
                archive.close();
                let mut bare = None;
                b.push(seconds(|| bare.insert(contenders::Bare::open(&file)).first_page()) * 1e6);
            }
            for i in 0..3 {
                let mut v: Vec<f64> = parts.iter().map(|p| p[i]).collect();
                v.sort_by(f64::total_cmp);
                println!("open part {i}: p10 {:.0} median {:.0}", v[v.len() / 10], v[v.len() / 2]);
            }
            b.sort_by(f64::total_cmp);
            println!("bare: p10 {:.0} median {:.0}", b[b.len() / 10], b[b.len() / 2]);
        }
        "hashes" => {
            let hashes = files::hashes(1_000_000);
            let archive = open(&file, Durability::Full);
            let some: Vec<_> = (0..1000).map(|j| hashes[(j * 104_729) % 1_000_000]).collect();
            let mut v: Vec<f64> = (0..300).map(|_| { let f = Filter { hashes: some.clone(), ..Filter::default() }; seconds(|| page(&archive, f, None)) * 1e6 }).collect();
            v.sort_by(f64::total_cmp);
            println!("hashes p10 {:.1} median {:.1}", v[v.len() / 10], v[v.len() / 2]);
            let asked: Vec<_> = (0..100_000usize).map(|i| match i % 2 { 0 => hashes[i.wrapping_mul(7919) % 1_000_000], _ => message(1_000_000 + i, 1_000_000).hash }).collect();
            let mut v: Vec<f64> = (0..5).map(|_| seconds(|| archive.missing(asked.clone()).wait().unwrap()) * 1e3).collect();
            v.sort_by(f64::total_cmp);
            println!("missing min {:.1} ms median {:.1}", v[0], v[v.len() / 2]);
        }
        _ => panic!(),
    }
}
