//! Each kind of number with a sample that is one and a neighbour that is not.
//!
//! Samples were published by the office itself or in its manuals, or worked out by its rule; none belongs to a person.

use super::*;

/// What is found where words begin, as the masks lead there.
fn all(text: &str) -> Vec<Span> {
    let text = text.as_bytes();
    let in_word = |at: usize| text[at].is_ascii_alphanumeric() || text[at] == b'_';
    let begins = |at: &usize| in_word(*at) && (*at == 0 || !in_word(at - 1));
    let near = |at: &usize| text[*at..].iter().take(NEAR).any(u8::is_ascii_digit);
    (0..text.len()).filter(begins).filter(near).filter_map(|at| find(text, at, Packs::ALL)).collect()
}

fn classes(text: &str) -> Vec<Class> {
    all(text).iter().map(|span| span.class).collect()
}

#[test]
fn numbers_of_offices_are_known_by_form_check_digits_and_words() {
    for (case, text, expected) in [
        ("a Spanish number", "DNI 12345678Z today", Some(C::EsNif)),
        ("its letter spoilt", "DNI 12345678A today", None),
        ("a Belgian number", "rijksregisternummer 85.07.30-033.28", Some(C::BeNn)),
        ("a Turkish number", "kimlik 10000000146", Some(C::TrNationalId)),
        ("a Turkish number spoilt", "kimlik 10000000145", None),
        ("a Brazilian number", "CPF 529.982.247-25", Some(C::BrCpf)),
        ("an Italian code", "codice fiscale RSSMRA85T10A562S", Some(C::ItFiscalCode)),
        ("a passport with its word", "passport no: F25816509", Some(C::UsPassport)),
        ("the same letters without it", "part no: F25816509", None),
        ("a birth date", "born 1968-07-09", Some(C::Dob)),
        ("any date", "built 1968-07-09", Some(C::Date)),
    ] {
        assert_eq!(classes(text).first().copied(), expected, "{case}");
    }
}

#[test]
fn a_number_whose_check_digit_is_off_is_none() {
    for (class, good, spoilt) in [
        (C::AbaRoutingNumber, "routing number 0210-0002-1", "routing number 0210-0002-2"),
        (C::UsNpi, "npi 1234567893", "npi 1234567894"),
        (C::MedicalLicense, "dea AB1234563", "dea AB1234564"),
        (C::CaSin, "130 692 544", "130 692 545"),
        (C::UkNhs, "943 476 5919", "943 476 5918"),
        (C::DeTaxId, "steuer-id 86 095 742 719", "steuer-id 86 095 742 718"),
        (C::DeVatId, "DE 136 695 976", "DE 136 695 975"),
        (C::DePassport, "c01x00064\n", "c01x00065\n"),
        (C::DeSocialSecurity, "65 170839 J 003", "65 170839 J 004"),
        (C::DeHealthInsurance, "kvnr A123456780", "kvnr A123456781"),
        (C::DeLanr, "lanr 123456601", "lanr 123456701"),
        (C::FrNir, "2 55 08 14 168 025 38", "2 55 08 14 168 025 39"),
        (C::EsNie, "X1234567L", "X1234567M"),
        (C::EsNie, "Y1234567X", "Y1234567L"),
        (C::EsNie, "Z1234567R", "Z1234567X"),
        (C::EsNif, "dni 1234567L", "dni 1234567M"),
        (C::ItFiscalCode, "RSSMRA85T10A562S", "RSSMRA85T10A562T"),
        (C::ItVatCode, "partita iva 07643520567", "partita iva 07643520568"),
        (C::PtNif, "contribuinte 123456789", "contribuinte 123456788"),
        (C::NlBsn, "bsn 111222333", "bsn 111222334"),
        (C::BeNn, "00.02.14-123.82", "00.02.14-123.83"),
        (C::ChAhv, "756.9217.0769.85", "756.9217.0769.86"),
        (C::AtSvnr, "svnr 1018 010180", "svnr 1019 010180"),
        (C::PlPesel, "pesel 44051401359", "pesel 44051401358"),
        (C::PlNip, "nip 526-000-00-05", "nip 526-000-00-06"),
        (C::CzRc, "805112/1001", "805112/1002"),
        (C::SePersonnummer, "personnummer 640823-3234", "personnummer 640823-3235"),
        (C::SePersonnummer, "personnummer 19811218-9876", "personnummer 19811218-9877"),
        (C::SePersonnummer, "640823+3234", "640823+3235"),
        (C::SeOrganisationsnummer, "556012-3456", "556012-3457"),
        (C::NoFnr, "fnr 130675 30009", "fnr 130675 30019"),
        (C::FiHetu, "131052-308T", "131052-308U"),
        (C::FiHetu, "020504A902E", "020504A902F"),
        (C::TrNationalId, "10000000146", "10000000156"),
        (C::IlId, "teudat 123456782", "teudat 123456783"),
        (C::InAadhaar, "2341 2341 2346", "2341 2341 2347"),
        (C::AuAbn, "51 824 753 556", "51 824 753 557"),
        (C::AuAcn, "acn 004 085 616", "acn 004 085 617"),
        (C::AuTfn, "tfn 876 543 210", "tfn 876 543 211"),
        (C::AuMedicare, "medicare 2123 45670 1", "medicare 2123 45680 1"),
        (C::KrBrn, "123-45-67891", "123-45-67892"),
        (C::CnRic, "11010519491231002X", "110105194912310021"),
        (C::ThTnin, "thai 1-2345-67890-12-1", "thai 1-2345-67890-12-2"),
        (C::ZaIdNumber, "id 8001015009087 here", "id 8001015009088"),
        (C::BrCpf, "529.982.247-25", "529.982.247-35"),
        (C::BrCpf, "529.982.247-25", "529.982.247-24"),
        (C::Imei, "imei 49-015420-323751-8", "imei 49-015420-323751-9"),
    ] {
        assert!(classes(good).contains(&class), "{class}: {good}");
        assert!(!classes(spoilt).contains(&class), "{class}, spoilt: {spoilt}");
    }
}

#[test]
fn a_number_that_its_office_would_not_give_out_is_none() {
    for (case, class, good, refused) in [
        ("a bank's region", C::AbaRoutingNumber, "routing 021000021", "routing 501000020"),
        ("one digit over and over", C::AbaRoutingNumber, "routing 021000021", "routing 000000000"),
        ("a taxpayer's group", C::UsItin, "912-70-1234", "912-49-1234"),
        ("a taxpayer's first digit", C::UsItin, "itin 912701234", "itin 812701234"),
        ("a provider's first digit", C::UsNpi, "npi 1234567893", "npi 3234567899"),
        ("an insurance number from 0", C::CaSin, "sin 130692544", "sin 046454286"),
        ("a health number of one digit", C::UkNhs, "nhs 9434765919", "nhs 1111111111"),
        ("a prefix never given out", C::UkNino, "AB 12 34 56 C", "BG 12 34 56 C"),
        ("a first letter never given out", C::UkNino, "AB 12 34 56 C", "DB 12 34 56 C"),
        ("a second letter never given out", C::UkNino, "AB 12 34 56 C", "AO 12 34 56 C"),
        ("a last letter never given out", C::UkNino, "AB 12 34 56 C", "AB 12 34 56 E"),
        ("a month that is none", C::UkDrivingLicence, "MORGA753116SM9IJ", "MORGA793116SM9IJ"),
        ("a first sign that is no letter", C::UkDrivingLicence, "MORGA753116SM9IJ", "9ORGA753116SM9IJ"),
        ("a tax number from 0", C::DeTaxId, "idnr 86095742719", "idnr 06095742715"),
        ("a VAT number from 0", C::DeVatId, "DE136695976", "DE036695975"),
        ("letters where numbers stand", C::DePassport, "reisepass C01X0006H", "reisepass CXXXXXX6H"),
        ("a first letter never given out", C::DePassport, "reisepass C01X0006H", "reisepass D01X0006H"),
        ("letters where numbers stand", C::DeIdCard, "ausweis L01X00T47", "ausweis LXXX00TXX"),
        ("neither man nor woman", C::FrNir, "255081416802538", "355081416802585"),
        ("a first letter never given out", C::EsNie, "X1234567L", "W1234567L"),
        ("a day that is none", C::FiHetu, "131052-308T", "321052-3082"),
        ("a month that is none", C::PlPesel, "pesel 44051401359", "pesel 44131401350"),
        ("a month that is none", C::SePersonnummer, "personnummer 640823-3234", "personnummer 641323-3237"),
        ("a day that is none", C::SePersonnummer, "personnummer 701063-2391", "personnummer 701032-2399"),
        ("a company's number like a date", C::SeOrganisationsnummer, "556012-3456", "640823-3234"),
        ("a day that is none", C::NoFnr, "fnr 13067530009", "fnr 32067530011"),
        ("a day that is none", C::DkCpr, "cpr 070761-4285", "cpr 320761-4285"),
        ("a first digit never given out", C::PtNif, "nif 500000034", "nif 400000008"),
        ("a citizen from 0", C::TrNationalId, "10000000146", "00000000000"),
        ("no such province", C::TrLicensePlate, "plaka 34 ABC 123", "plaka 82 ABC 123"),
        ("no mobile", C::TrPhoneNumber, "0532 123 45 67", "0212 123 45 67"),
        ("a first digit never given out", C::InAadhaar, "aadhaar 234123412346", "aadhaar 134123412342"),
        ("no such holder", C::InPan, "ABCPE1234F", "ABCXE1234F"),
        ("a company from 0", C::AuAbn, "abn 51824753556", "abn 01824754007"),
        ("a company of one digit", C::AuAcn, "acn 004085616", "acn 000000000"),
        ("a tax file of one digit", C::AuTfn, "tfn 123456782", "tfn 000000000"),
        ("a card's first digit", C::AuMedicare, "medicare 2123456701", "medicare 1123456791"),
        ("no such letter", C::SgNricFin, "nric S1234567D", "nric A1234567D"),
        ("no such century", C::SgUen, "uen 200812345A", "uen 180812345A"),
        ("no such letter", C::SgUen, "uen T08LL1234A", "uen A08LL1234A"),
        ("a foreigner is no resident", C::KrFrn, "900101-5234567", "900101-1234567"),
        ("a resident is no foreigner", C::KrRrn, "900101-1234567", "900101-5234567"),
        ("a month that is none", C::KrRrn, "900101-1234567", "901301-1234567"),
        ("a month that is none", C::KrFrn, "900101-5234567", "901301-5234567"),
        ("a foreigner without a dash", C::KrFrn, "frn 9001015234567", "frn 9001011234567"),
        ("a resident without a dash", C::KrRrn, "rrn 9001011234567", "rrn 9013011234567"),
        ("no such region", C::KrDriverLicense, "driver 11-22-333333-44", "driver 29-22-333333-44"),
        ("a citizen from 0", C::ThTnin, "thai 1234567890121", "thai 0123456789016"),
        ("no mobile", C::PhMobileNumber, "call 0917 123 4567", "call 0817 123 4567"),
        ("no mobile", C::PhMobileNumber, "call 63 917 123 4567", "call 63 817 123 4567"),
        ("a day that is none", C::ZaIdNumber, "id 8001015009087 here", "id 8013015009082"),
        ("a citizen of one digit", C::BrCpf, "cpf 52998224725", "cpf 11111111111"),
        ("a device of one digit", C::Imei, "imei 490154203237518", "imei 000000000000000"),
        ("a month that is none", C::Dob, "born 1968-07-09", "born 1968-13-09"),
        ("a day that is none", C::Dob, "born 09.07.1968", "born 32.07.1968"),
        ("neither day nor month", C::Dob, "born 09/07/1968", "born 32/07/1968"),
        ("neither day nor month", C::Dob, "born 09-07-1968", "born 09-32-1968"),
        ("a month that is none", C::Date, "built 1968-07-09", "built 1968-13-09"),
        ("a month that is none", C::Date, "1968/07/09", "1968/13/09"),
        ("neither day nor month", C::Date, "09/07/1968", "32/07/1968"),
        ("a day that is none", C::Date, "09.07.1968", "32.07.1968"),
        ("neither day nor month", C::Date, "09-07-1968", "09-32-1968"),
        ("neither day nor month", C::Date, "12/7/1968", "32/7/1968"),
        ("neither day nor month", C::Date, "7/12/1968", "7/32/1968"),
        ("neither day nor month", C::Date, "dated 09/07/68", "dated 32/07/68"),
    ] {
        assert!(classes(good).contains(&class), "{class}: {good}");
        assert!(!classes(refused).contains(&class), "{class}, {case}: {refused}");
    }
}

#[test]
fn a_number_that_proves_nothing_needs_a_word_before_it_or_a_line_of_its_own() {
    for (class, said, alone_on_its_line, in_passing) in [
        (C::UkPostcode, "postcode SW1A 1AA", "SW1A 1AA", "seat SW1A 1AA"),
        (C::UkVehicleRegistration, "vehicle AB12 CDE", "AB12 CDE", "shelf AB12 CDE"),
        (C::DePlz, "plz 10115", "10115", "took 10115 steps"),
        (C::DeKfz, "kennzeichen B-MW 1234", "B-MW 1234", "the B-MW 1234 type"),
    ] {
        assert_eq!(classes(said), [class], "{said}");
        assert_eq!(classes(&format!("a long line before\n{alone_on_its_line}\nand one after")), [class]);
        assert_eq!(classes(&format!("it says {in_passing} and goes on from there")), [], "{in_passing}");
    }
    for (class, said, alone_on_its_line) in
        [(C::UkUtr, "utr 12345 67890", "12345 67890"), (C::NzIrd, "ird 49-091-850", "49-091-850")]
    {
        assert_eq!(classes(said), [class], "{said}");
        assert_eq!(classes(&format!("before it\n{alone_on_its_line}\nafter it")), [], "a line alone is not enough");
    }
}

#[test]
fn what_only_has_the_form_of_a_number_is_none() {
    for (class, number, case, other) in [
        (C::UkDrivingLicence, "MORGA753116SM9IJ", "hexadecimal digits", "c3cd0362588355ed"),
        (C::UkDrivingLicence, "FOX99753116SM9IJ", "a name that is not filled up", "FOX12753116SM9IJ"),
        (C::UkDrivingLicence, "MORGA753116SM9IJ", "a day that is none", "MORGA753406SM9IJ"),
        (C::CnRic, "11010519491231002X", "a month that is none", "220289199947514112"),
        (C::InAadhaar, "2341-2341-2346", "weights between dots", "[.2341.2341.2346]"),
        (C::TrLicensePlate, "11 ABC 202", "a date", "11 Dec 2020"),
        (C::TrPhoneNumber, "0577 215 66 49", "a decimal", "gamma 0.5772156649"),
        (C::UkNhs, "943-476-5919", "a clause of a contract", "943.476-5919"),
        (C::DePlz, "10115", "a column of numbers", "10113\n10115\n10117"),
        (C::DePlz, "10115", "the last of a column", "a\n10113\n10115"),
    ] {
        assert!(classes(number).contains(&class), "{class}: {number}");
        assert!(!classes(other).contains(&class), "{class}, {case}: {other}");
    }
}

#[test]
fn a_number_inside_a_longer_one_is_none() {
    for (case, text) in [
        ("on its own", "CPF 529.982.247-25"),
        ("at the end of a sentence", "CPF 529.982.247-25."),
        ("in brackets", "(529.982.247-25)"),
    ] {
        assert_eq!(classes(text), [C::BrCpf], "{case}");
    }
    for (case, text) in [
        ("a digit follows", "529.982.247-250"),
        ("a letter follows", "529.982.247-25a"),
        ("a name goes on", "529.982.247-25_a"),
        ("the number goes on", "529.982.247-25.1"),
        ("a letter before", "a529.982.247-25"),
        ("a name before", "a_529.982.247-25"),
        ("the number began before", "1.529.982.247-25"),
        ("it is cut off", "529.982.247-2"),
        ("another sign between", "529,982.247-25"),
    ] {
        assert!(!classes(text).contains(&C::BrCpf), "{case}: {text}");
    }
}

#[test]
fn two_decimals_that_can_be_a_place_are_one() {
    for (case, text, hidden) in [
        ("a pair", "at 48.85837,2.29448 now", Some("48.85837,2.29448")),
        ("with a space", "at 48.85837, 2.29448 now", Some("48.85837, 2.29448")),
        ("south and west", "at -33.85678, -151.21529", Some("-33.85678, -151.21529")),
        ("too few decimals", "at 48.858,2.294 now", None),
        ("too few decimals in the second", "at 48.85837,2.294 now", None),
        ("beyond the pole", "at 90.85837,2.29448 now", None),
        ("beyond the date line", "at 48.85837,180.29448 now", None),
        ("no comma", "at 48.85837 2.29448 now", None),
        ("one number", "at 48.85837", None),
        ("no number", "at 4.8.85837,2.29448", None),
    ] {
        let found = all(text);
        let geo = found.iter().find(|span| span.class == C::Geo).map(|span| &text[span.start..span.end]);
        assert_eq!(geo, hidden, "{case}");
    }
}

#[test]
fn a_link_ends_where_its_sentence_goes_on() {
    for (case, text, hidden) in [
        ("a link", "see https://example.org/a?b=1 there", Some("https://example.org/a?b=1")),
        ("at the end of a sentence", "see http://example.org/a.", Some("http://example.org/a")),
        ("in brackets", "(ftp://example.org/a)", Some("ftp://example.org/a")),
        ("quoted", "\"https://example.org\"", Some("https://example.org")),
        ("of another kind", "see git://example.org/a", None),
        ("of nothing", "see https:// there", None),
    ] {
        let at = text.find("://").expect("each has one");
        let found = find_link(text.as_bytes(), at).map(|(start, end)| &text[start..end]);
        assert_eq!(found, hidden, "{case}");
    }
}
